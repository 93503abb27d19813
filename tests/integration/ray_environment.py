"""The environment that has Ray, and a secret, so that nobody else may use the clusters of tests."""

import re
import secrets
import sys

import pytest
from commands import ROOT, run

ENVIRONMENT = ROOT / ".venv-cluster"
PYTHON = ENVIRONMENT / "bin" / "python"
SECRET = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def make_environment() -> None:
    """Install Ray, where it is not; skip where that cannot be."""
    if sys.platform != "linux":
        pytest.skip("the extra cluster is for Linux")
    done = run("scripts/setup", ENVIRONMENT.name, "requirements/cluster.txt", env={"PYTHON": ""})
    if done.returncode and re.search("from versions: none|[Cc]onnection|no release", done.stderr):
        pytest.skip(f"Ray cannot be downloaded: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
