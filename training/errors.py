"""Everything that stops an offline command, as one tree.

TrainingError
├── MissingClass          a label without images in a split
├── CacheError            the pixel cache cannot be written
├── ClusterError          there is no Ray, no such cluster, or a node of it cannot do the work
├── TargetRefused         where answers should go is no folder, or holds other ones
├── RunUnderWay           another process trains the same model on the same images
├── NotLearning           the loss is not finite, or the model is no better than chance
├── TrainingProcessDied   a process that trains has too little memory, or ended for another reason
└── TrainingInterrupted   Ctrl-C before there was anything to keep
"""


class TrainingError(Exception):
    """Base of every error that training raises on purpose."""


class MissingClass(TrainingError):
    """A label has too few images for every split to hold one."""


class CacheError(TrainingError):
    """The pixel cache cannot be written."""


class ClusterError(TrainingError):
    """There is no Ray, no such cluster, or a node of it cannot do the work."""


class TargetRefused(TrainingError):
    """Where answers should go is no folder, or holds other ones."""


class RunUnderWay(TrainingError):
    """Another process trains a model of the same name on the same images."""


class NotLearning(TrainingError):
    """The loss is not finite, or the model is no better than the majority class."""


class TrainingProcessDied(TrainingError):
    """A process that trains ended without a result."""


class TrainingInterrupted(TrainingError):
    """Stopped by the user before the first epoch was complete."""
