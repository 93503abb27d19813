"""One step of training: ours, the notebook's, and what Adam's memory traffic allows."""

import json
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.machine import describe, memory_bandwidth_gb_s
from benchmarks.report import Bars, Goal, Report, Row

SIZE = (960, 480)
HIDDEN = (512, 512)
# Per weight: the gradient is read; weight and both moments are read and written.
_ADAM_PASSES = 7
_BYTES = 4


def run() -> Report:
    """Train the notebook's network for some steps, each way in a process of its own."""
    bandwidth = memory_bandwidth_gb_s()
    floor = SIZE[0] * SIZE[1] * HIDDEN[0] * _BYTES * _ADAM_PASSES / bandwidth / 1e9
    notebook, ours = _measured("notebook"), _measured("ours")
    rows: list[Row] = [
        {"what": "the notebook, mended", **notebook},
        {"what": "python -m training fit", **ours},
        {"what": "Adam's memory traffic alone", "seconds per step": floor},
    ]
    step = float(ours["seconds per step"])
    ratio = float(notebook["seconds per step"]) / step
    return Report(
        "train",
        {**describe(), "memory_gb_s": bandwidth},
        {"A step of 32 images of 960 × 480, with input and augmentation": rows},
        goals=[
            Goal("seconds per step", step, 0.35, False, "s"),
            Goal("times as fast as the notebook", ratio, 2.5, True, "×"),
            Goal("peak memory of the training process", ours["peak GB"], 6.5, False, "GB"),
        ],
        charts=[Bars("A step of 32", "s", {"s": _steps(rows)})],
        notes=["The notebook neither augments its images nor standardises them."],
    )


def _steps(rows: Sequence[Row]) -> dict[str, float]:
    return {str(row["what"]): float(row["seconds per step"] or 0) for row in rows}


def _measured(which: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.training_step", which]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found
