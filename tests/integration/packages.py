"""Packages that live in environments of their own, because the project's does without them."""

import re
import sys
from pathlib import Path

import pytest
from commands import run


def installed(folder: Path, requirements: str) -> Path:
    """Return the folder of programs of an environment; skip where it cannot be downloaded."""
    packages = folder, f"requirements/{requirements}.txt"
    done = run("scripts/setup", *packages, env={"PYTHON": sys.executable})
    if done.returncode and re.search("from versions: none|[Cc]onnection", done.stderr):
        pytest.skip(f"{requirements} cannot be downloaded: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return folder / "bin"
