"""What a training run leaves in its folder: the best weights, and how they came about."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Selection
from training.learn.recipe import Recipe
from training.learn.task import Learned

_WEIGHTS = "best"


@dataclass(frozen=True)
class TrainedRun:
    """The best weights of a run, in a folder, and how they came about."""

    folder: Path
    recipe: Recipe
    selection: Selection
    mean: NDArray[np.float32]  # (inputs,) of the standardisation
    scale: float
    best_epoch: int
    history: dict[str, list[float]]
    seconds: float
    ended: str  # why: one sentence
    interrupted: bool
    val_logits: NDArray[np.float32]  # (N, labels) of the best epoch

    def weights(self) -> list[NDArray[np.float32]]:
        """Read kernel and bias of every dense layer, in order."""
        return [np.load(path) for path in sorted((self.folder / _WEIGHTS).glob("*.npy"))]


def save_weights(folder: Path, weights: Sequence[NDArray[np.float32]]) -> None:
    """Replace the weights kept in `folder`; a crash leaves the old ones or the new ones."""
    new = folder / "new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for k, value in enumerate(weights):
        np.save(new / f"{k:03}.npy", value)
    shutil.rmtree(folder / _WEIGHTS, ignore_errors=True)
    new.rename(folder / _WEIGHTS)


def keep_run(folder: Path, recipe: Recipe, selection: Selection, learned: Learned) -> TrainedRun:
    """Write everything but the weights, which are there, into `folder`, for `load_run`."""
    run = TrainedRun(
        folder,
        recipe,
        selection,
        learned.mean,
        learned.scale,
        learned.best_epoch,
        learned.history,
        learned.seconds,
        learned.ended,
        learned.interrupted,
        learned.val_logits,
    )
    np.savez(run.folder / "run.npz", mean=run.mean, val_logits=run.val_logits)
    record = {
        "recipe": run.recipe.as_json(),
        "selection": run.selection.model_dump(mode="json"),
        "scale": run.scale,
        "best_epoch": run.best_epoch,
        "history": run.history,
        "seconds": run.seconds,
        "ended": run.ended,
        "interrupted": run.interrupted,
    }
    (run.folder / "run.json").write_text(json.dumps(record))
    return run


def load_run(folder: Path) -> TrainedRun:
    """Read what an earlier run left in `folder`.

    Raises:
        OSError: there is no complete run.
    """
    record = json.loads((folder / "run.json").read_text())
    arrays = np.load(folder / "run.npz", allow_pickle=False)
    recipe = record.pop("recipe")
    recipe["hidden"] = tuple(recipe["hidden"])
    return TrainedRun(
        folder=folder,
        recipe=Recipe(**recipe),
        selection=Selection.model_validate(record.pop("selection")),
        mean=arrays["mean"],
        val_logits=arrays["val_logits"],
        **record,
    )
