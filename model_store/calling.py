"""What to type, where the rooms are installed as `halftone` and where they lie in a checkout."""

from pathlib import Path

_INSTALLED = (Path(__file__).parents[1] / "__init__.py").is_file()  # within the package `halftone`


def calling(room: str) -> str:
    """Return what begins a command of `room`: "python -m training", or "halftone"."""
    if not _INSTALLED:
        return f"python -m {room}"
    return "halftone serve" if room == "app" else "halftone"


def what_brings_tensorflow() -> str:
    """Return a sentence that says how the packages for training are installed."""
    if not _INSTALLED:
        return "`scripts/setup train` installs what training needs."
    return 'The extra "training" installs what training needs, as in `pip install ".[training]"`.'


def what_brings_ray() -> str:
    """Return a sentence that says how the packages for `--cluster` are installed."""
    if not _INSTALLED:
        return (
            "`scripts/setup .venv-cluster requirements/cluster.txt` makes an environment with it, "
            "on Linux."
        )
    return 'The extra "cluster" installs it, as in `pip install ".[training,cluster]"`, on Linux.'
