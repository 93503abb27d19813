"""Everything that stops an offline command, as one tree.

TrainingError
├── DatasetError          the folder or .npz cannot give an honest model
│   ├── InvalidLayout     not the folders or arrays that are expected
│   ├── NoImages          nothing readable
│   └── MissingClass      a label without images in a split
├── CacheError            the pixel cache cannot be written
├── NotLearning           the loss is not finite, or the model is no better than chance
├── TrainingProcessDied   as when memory runs out
└── TrainingInterrupted   Ctrl-C before there was anything to keep
"""


class TrainingError(Exception):
    """Base of every error that training raises on purpose."""


class DatasetError(TrainingError):
    """The images cannot give an honest model."""


class InvalidLayout(DatasetError):
    """The path holds neither class folders, nor splits with class folders, nor Keras arrays."""


class NoImages(DatasetError):
    """Nothing that can be read."""


class MissingClass(DatasetError):
    """A label has too few images for every split to hold one."""


class CacheError(TrainingError):
    """The pixel cache cannot be written."""


class NotLearning(TrainingError):
    """The loss is not finite, or the model is no better than the majority class."""


class TrainingProcessDied(TrainingError):
    """The process that trains a large network ended without a result."""


class TrainingInterrupted(TrainingError):
    """Stopped by the user before the first epoch was complete."""
