"""Everything that can go wrong between encoded bytes and probabilities, as one tree.

ModelStoreError
├── ImageError                 the caller's bytes
│   ├── UnsupportedFormat      not one of the spec's formats, judged by content
│   ├── UndecodableImage       the right format, but broken
│   └── TooManyPixels          refused by its header, before decoding
├── StoreError                 names and versions
│   ├── InvalidName
│   ├── ModelNotFound
│   ├── VersionNotFound
│   ├── InvalidLocation        neither a folder nor a bucket
│   ├── StoreDamaged           current.json is not what the store writes
│   ├── StoreUnreachable       object storage that does not answer, or lets nobody in
│   └── StoreUnwritable        no space, no permission, or a read-only file system
├── BundleError                a bundle that must not serve
│   ├── InvalidManifest
│   ├── CorruptBundle          a file is missing, extra, or has another size or hash
│   ├── ProbeMismatch          the probes gave other pixels or other probabilities
│   ├── UnsafeModel            loading it would run code or read outside the bundle
│   └── IncompatibleModel      its inputs or outputs do not fit the labels or the ImageSpec
├── SourceError                a folder or .npz of images
│   ├── InvalidLayout          not the folders or arrays that are expected
│   └── NoImages               nothing readable
└── EngineUnavailable          this host lacks the library or the file an engine needs
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
