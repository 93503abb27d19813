"""Which versions of the libraries that decide pixels and probabilities are installed."""

import platform
from importlib import metadata

_LIBRARIES = ("keras", "tensorflow", "openvino", "numpy", "pillow", "pi-heif")


def library_versions() -> dict[str, str]:
    """Return name → version of Python and of the libraries that are installed."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
