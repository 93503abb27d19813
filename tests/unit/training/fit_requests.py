"""What the tests ask of `fit`: nothing is left to choose, and little to learn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from class_folders import HEIGHT, WIDTH

from model_store.spec import MAX_16
from training.fit import FitRequest

COUNTS = {"row": 60, "column": 40, "diagonal": 40}
OPTIONS = ["--name", "stripes", "--height", str(HEIGHT), "--width", str(WIDTH)]
OPTIONS += ["--hidden", "32", "--hidden", "16", "--pool", "1", "--augmentation", "none"]
OPTIONS += ["--seed", "3"]


def request(path: Path, **changes: Any) -> FitRequest:
    """Return what `OPTIONS` ask for, but for `changes`."""
    asked = FitRequest(
        path=path,
        name="stripes",
        height=HEIGHT,
        width=WIDTH,
        depth16_max=MAX_16,
        pool=1,
        hidden=(32, 16),
        dropout=0.1,
        augmentation="none",
        epochs=30,
        seed=3,
        quick=False,
        images_in_bundle=True,
        promote="if-not-worse",
        publish_interrupted=False,
        publish_kept=False,
    )
    return replace(asked, **changes)
