"""Everything that can go wrong between encoded bytes and probabilities, as one tree.

ModelStoreError
├── ImageError        the caller's bytes: UnsupportedFormat, UndecodableImage, TooManyPixels
├── StoreError        names and versions: InvalidName, ModelNotFound, VersionNotFound,
│                     InvalidLocation, StoreDamaged, StoreUnreachable, StoreUnwritable
├── BundleError       what must not serve: InvalidManifest, CorruptBundle, ProbeMismatch,
│                     UnsafeModel, IncompatibleModel
├── SourceError       a folder or .npz of images: InvalidLayout, NoImages
└── EngineUnavailable
"""


class ModelStoreError(Exception):
    """Base of every error that model_store raises on purpose."""


class ImageError(ModelStoreError):
    """The bytes of one image cannot become pixels."""


class UnsupportedFormat(ImageError):
    """The content is none of the formats that the ImageSpec allows."""


class UndecodableImage(ImageError):
    """The content has an allowed format, and cannot be decoded."""


class TooManyPixels(ImageError):
    """The header announces more pixels than the limit; nothing was decoded."""


class StoreError(ModelStoreError):
    """A name or version that the store cannot resolve."""


class InvalidName(StoreError):
    """A model name that is not a plain lower-case folder name."""


class ModelNotFound(StoreError):
    """No such model, or none with a current version."""


class VersionNotFound(StoreError):
    """The model exists; the version does not."""


class InvalidLocation(StoreError):
    """HALFTONE_MODELS names neither a folder nor a bucket of object storage."""


class StoreDamaged(StoreError):
    """A file of the store itself, outside any bundle, cannot be understood."""


class StoreUnreachable(StoreError):
    """Object storage did not answer, or refused what this host may not do."""


class StoreUnwritable(StoreError):
    """The store cannot be written; it still holds what it held before."""


class BundleError(ModelStoreError):
    """A bundle that must not serve."""


class InvalidManifest(BundleError):
    """manifest.json is missing, unreadable, or says something impossible."""


class CorruptBundle(BundleError):
    """A file is missing, unlisted, or differs from its recorded size or hash."""


class ProbeMismatch(BundleError):
    """A probe gave other pixels or other probabilities than the manifest records."""


class UnsafeModel(BundleError):
    """Loading the model could run code or read outside the bundle."""


class IncompatibleModel(BundleError):
    """The model's inputs or outputs do not fit the labels or the ImageSpec."""


class SourceError(ModelStoreError):
    """Images cannot be taken from there."""


class InvalidLayout(SourceError):
    """The path holds neither class folders, nor splits with class folders, nor Keras arrays."""


class NoImages(SourceError):
    """Nothing that can be read."""


class EngineUnavailable(ModelStoreError):
    """This host lacks the library or the exported file that the engine needs."""
