"""The benchmarks run as commands, at their shortest, on the shipped model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = {
    "engines": ["engines", "--model", "digits", "--seconds", "0.1"],
    "service-28x28": [
        *("service", "--model", "digits", "--seconds", "1", "--requests", "200", "--reloads", "3")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_writes_its_figures(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HALFTONE_MODELS": str(ROOT / "models")}
    command = [sys.executable, "-m", "benchmarks", *COMMANDS[name], "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert found["goals"]
    assert all(isinstance(goal["met"], bool) for goal in found["goals"])
    rows = [row for rows in found["tables"].values() for row in rows]
    assert rows
    assert not any(row.get("failures") for row in rows)
