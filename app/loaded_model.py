"""One opened model version with its own queue, and the count of those who still need it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from app.batching.cost_model import CostModel
from app.batching.queue import BatchQueue
from app.errors import NotInBundle
from app.observability.drift import DriftMonitor
from model_store.bundle import Model
from model_store.engines import Inputs
from model_store.pixels.novelty import Novelty


class LoadedModel:
    """A model version that answers. Construction warms the engine, and so takes a while.

    Args:
        model: opened and verified; `infer` is called from one thread at a time.
        capacity: most images that wait.
        decoders: threads that decode images.
        patience_s: how long after its deadline an image may still be computed.
    """

    def __init__(
        self, model: Model, *, capacity: int, decoders: int = 1, patience_s: float = 30.0
    ) -> None:
        self.name = model.name
        self.version = model.version
        self.labels = model.labels
        self.spec = model.spec
        self.shape = (model.spec.height, model.spec.width)
        self.manifest = model.manifest
        self.engine_name = model.engine_name
        self.warnings = model.warnings
        # Images that may be shown: drawn ones prove much, and mean nothing to people.
        self.examples = tuple(one.file for one in model.manifest.probes if not one.drawn)
        self.max_batch = model.manifest.engines[model.engine_name].max_batch
        reference = model.manifest.reference
        self._drift = DriftMonitor(reference) if reference else None
        self._novelty = Novelty(reference.usual) if reference and reference.usual else None
        self._model = model
        # Of blank images; the first call of an engine allocates or compiles.
        blank = model.inputs(np.zeros((self.max_batch, *self.shape), np.uint8))
        self._leases = 0
        self._retired = False
        self.queue = BatchQueue(
            model.infer,
            blank.shape[1:],
            blank.dtype,
            max_batch=self.max_batch,
            capacity=capacity,
            decoders=decoders,
            patience_s=patience_s,
            costs=CostModel.through(
                _best_s(model, blank[:1]), _best_s(model, blank), self.max_batch
            ),
        )

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep the model open for the duration of the block. On the event loop's thread only."""
        self._leases += 1
        try:
            yield
        finally:
            self._leases -= 1
            self._close_when_unused()

    def read_file(self, path: str) -> bytes:
        """Return a file of the bundle. Slow; not for the event loop's thread.

        Raises:
            NotInBundle: it has no such file.
            CorruptBundle: it cannot be read any more.
        """
        if path not in self.manifest.files:
            raise NotInBundle(f"{self.name} version {self.version} was published without {path}.")
        return self._model.read_file(path)

    def inputs(self, pixels: NDArray[np.uint8]) -> Inputs:
        """Return what the engine takes of one image, (H, W) uint8. Any thread may call."""
        (inputs,) = self._model.inputs(pixels[np.newaxis])
        return np.asarray(inputs)

    def observe(self, pixels: NDArray[np.uint8]) -> bool | None:
        """Count one incoming image, (H, W) uint8, and tell whether it is unlike training's.

        Returns:
            None where training left nothing to compare with.
        """
        if self._drift is not None:
            self._drift.observe(pixels)
        return None if self._novelty is None else self._novelty.is_unusual(pixels)

    def drift_scores(self) -> dict[str, float]:
        """Return how far incoming pixels are from training's; empty if that is not known."""
        scores = self._drift.scores() if self._drift is not None else None
        return scores or {}

    def retire(self) -> None:
        """Close as soon as the last lease ends. On the event loop's thread only."""
        self._retired = True
        self._close_when_unused()

    def close(self) -> None:
        """Finish what is queued, then release the weights. Waits."""
        self.queue.close()
        self._model.close()

    def _close_when_unused(self) -> None:
        if self._retired and self._leases == 0:
            self._retired = False
            # The queue may still compute abandoned images; the event loop must not wait for that.
            threading.Thread(target=self.close, name="retire", daemon=True).start()


def _best_s(model: Model, inputs: Inputs) -> float:
    model.infer(inputs)
    started_at = time.perf_counter()
    model.infer(inputs)
    return time.perf_counter() - started_at
