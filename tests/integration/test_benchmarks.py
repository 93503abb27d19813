"""The benchmarks run as commands, at their shortest, on the shipped model."""

import json

import pytest
from commands import ROOT, python

COMMANDS = {
    "engines": ["engines", "--model", "digits", "--seconds", "0.1"],
    "service-28x28": [
        *("service", "--model", "digits", "--seconds", "1", "--requests", "200", "--reloads", "3")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_writes_its_figures(name, tmp_path):
    command = ["-m", "benchmarks", *COMMANDS[name], "--output", tmp_path]
    done = python(*command, env={"HALFTONE_MODELS": str(ROOT / "models")})

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert found["goals"]
    assert all(isinstance(goal["met"], bool) for goal in found["goals"])
    rows = [row for rows in found["tables"].values() for row in rows]
    assert rows
    # At random moments, a busy machine may refuse some; clients that wait for answers get them.
    assert not any(row["failures"] for row in rows if "service" in row)
