"""What a training run leaves in its folder: the best weights, and how they came about."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Selection
from model_store.store.durable import exclusive
from training.errors import CacheError, RunUnderWay, TrainingInterrupted
from training.learn.recipe import Recipe
from training.learn.task import Architecture, Learned, Standardization

_WEIGHTS, _RUN = "best.npz", "run.npz"


@dataclass(frozen=True)
class TrainedRun:
    """The best weights of a run, in a folder, and how they came about."""

    folder: Path
    what: Architecture
    recipe: Recipe
    selection: Selection
    learned: Learned

    def weights(self) -> list[NDArray[np.float32]]:
        """Read kernel and bias of every dense layer, in order."""
        with np.load(self.folder / _WEIGHTS, allow_pickle=False) as kept:
            return list(kept.values())

    def keep(self) -> None:
        """Write everything but the weights, which are there, into the folder, for `load_run`."""
        learned = asdict(self.learned)
        arrays = {**learned.pop("inputs"), "val_logits": learned.pop("val_logits")}
        record = {
            "what": asdict(self.what),
            "recipe": asdict(self.recipe),
            "selection": self.selection.model_dump(mode="json"),
            "learned": learned,
        }
        _save(self.folder / _RUN, **arrays, record=np.array(json.dumps(record)))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep the folder of a run from other processes, which would put their weights there.

    Raises:
        RunUnderWay: another one has it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(folder.with_name(f"{folder.name}.lock"), wait=False))
        except BlockingIOError as error:
            raise RunUnderWay(
                "Expected one run at a time with this --name and these images. Received: a second "
                "one. Wait for the first to end, or give another --name."
            ) from error
        yield


def save_weights(folder: Path, weights: Sequence[NDArray[np.float32]]) -> None:
    """Replace the weights kept in `folder`."""
    _save(folder / _WEIGHTS, *weights)


def _save(path: Path, *arrays: NDArray[Any], **named: Any) -> None:
    """Replace an .npz file: whoever is killed meanwhile leaves the one before.

    Raises:
        CacheError: it cannot be written.
    """
    unfinished = path.with_name(f"unfinished-{path.name}")
    try:
        np.savez(unfinished, *arrays, **named)
        os.replace(unfinished, path)
    except OSError as error:
        raise CacheError(
            f"{path.parent}: cannot keep the weights of the run: {error.strerror or error}. "
            "Set HALFTONE_CACHE to a folder on a larger disk."
        ) from error


def load_run(folder: Path, pool: int) -> TrainedRun:
    """Read what an earlier run left in `folder`.

    Raises:
        TrainingInterrupted: there is none; or its network saw means over blocks that are not made
            of such as the images are at hand in, `pool` x `pool` pixels.
    """
    if not (folder / _RUN).exists():
        raise TrainingInterrupted(
            "Expected the weights of an interrupted run with the same --name, data and seed. "
            "Received: none"
        )
    with np.load(folder / _RUN, allow_pickle=False) as kept:
        record = json.loads(kept["record"].item())
        inputs = Standardization(kept["mean"], kept["scale"].item())
        learned = Learned(inputs, val_logits=kept["val_logits"], **record["learned"])
    what = Architecture(**record["what"])
    if what.pool % pool:
        raise TrainingInterrupted(
            f"The weights that are kept need --pool {what.pool}, also with --publish-kept. "
            f"Received: --pool {pool}"
        )
    return TrainedRun(
        folder,
        replace(what, hidden=tuple(what.hidden)),
        Recipe(**record["recipe"]),
        Selection.model_validate(record["selection"]),
        learned,
    )
