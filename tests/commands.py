"""Commands in processes of their own, from the repository's root unless something else is said."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    `env` adds variables, `whole_env` is all that there are; the rest is for `subprocess.run`.
    """
    environment = options.pop("whole_env", os.environ) | options.pop("env", {})
    usual = {"cwd": ROOT, "capture_output": True, "text": True, "check": False}
    return subprocess.run(list(map(str, command)), env=environment, **(usual | options))


def python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this Python, as `run` does."""
    return run(sys.executable, *arguments, **options)


def unread(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run this Python for a reader that has left."""
    read, written = os.pipe()
    os.close(read)
    options = {"capture_output": False, "stdout": written, "stderr": subprocess.PIPE}
    done = python(*arguments, **options)
    os.close(written)
    return done
