"""What a training run leaves in its folder: the best weights, and how they came about."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.standardization import Standardization


@dataclass(frozen=True)
class TrainedRun:
    """The best weights of a run, in a folder, and how they came about."""

    folder: Path
    inputs: Standardization
    best_epoch: int
    history: dict[str, list[float]]
    seconds: float
    interrupted: bool
    val_logits: NDArray[np.float32]  # (N, labels) of the best epoch

    def weights(self) -> list[NDArray[np.float32]]:
        """Read kernel and bias of every dense layer, in order."""
        return [np.load(path) for path in sorted((self.folder / "best").glob("*.npy"))]


def load_run(folder: Path) -> TrainedRun:
    """Read what an earlier `train` left in `folder`.

    Raises:
        OSError: there is no complete run.
    """
    record = json.loads((folder / "run.json").read_text())
    arrays = np.load(folder / "run.npz", allow_pickle=False)
    inputs = Standardization(arrays["mean"], record.pop("scale"))
    return TrainedRun(folder=folder, inputs=inputs, val_logits=arrays["val_logits"], **record)


def save_run(run: TrainedRun) -> None:
    """Write everything but the weights into `run.folder`, for `load_run`."""
    np.savez(run.folder / "run.npz", mean=run.inputs.mean, val_logits=run.val_logits)
    record = {
        "scale": run.inputs.scale,
        "best_epoch": run.best_epoch,
        "history": run.history,
        "seconds": run.seconds,
        "interrupted": run.interrupted,
    }
    (run.folder / "run.json").write_text(json.dumps(record))
