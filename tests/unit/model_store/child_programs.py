"""Programs of the tests that run in processes of their own."""

import json
import os
from pathlib import Path
from typing import Any

from commands import ROOT, python


def json_lines(program: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run `program` to its end, and return the objects that it printed, one per line."""
    done = python(program, *arguments, env={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
