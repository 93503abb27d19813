"""Engines turn uint8 pixels into probabilities; one module each, imported only when opened."""

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import EngineName, Manifest

# What a network takes of N images: (N, H, W) uint8 pixels, or (N, cells) float32 block means.
Inputs = NDArray[Any]


class Engine(Protocol):
    """A loaded model."""

    def inputs(self, images: NDArray[np.uint8]) -> Inputs:
        """Return what the network takes of images; any thread may call.

        Args:
            images: (N, H, W) uint8, C-contiguous, N >= 1, as `preprocess` returns them.
        """
        ...

    def infer(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return softmax probabilities; one thread at a time may call.

        Args:
            inputs: of N images, C-contiguous, as `inputs` returns them.

        Returns:
            (N, labels) float32 in [0, 1]; every row sums to 1. The array belongs to the caller.
        """
        ...

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return softmax probabilities of (N, H, W) uint8 images; one thread at a time may call."""
        return self.infer(self.inputs(images))

    def close(self) -> None:
        """Release the weights; the engine is unusable afterwards."""
        ...


_MODULES: dict[EngineName, str] = {
    "keras": "model_store.engines.keras",
    "openvino-int8": "model_store.engines.openvino",
    "openvino-bf16": "model_store.engines.openvino",
    "openvino-f32": "model_store.engines.openvino",
}


def open_engine(
    name: EngineName, folder: Path, manifest: Manifest, threads: int | None, *, shared: bool
) -> Engine:
    """Load one engine of a bundle whose files are verified.

    Args:
        name: a key of `manifest.engines`.
        folder: the bundle.
        manifest: its manifest.
        threads: CPU threads the engine may use; None: one for a small network, else all that
            this process may use.
        shared: whether other processes serve the same bundle, so that holding its weights once is
            worth more than the least time for a batch.

    Raises:
        EngineUnavailable: the engine's library is not installed, or cannot run here.
        UnsafeModel: the file could run code.
        IncompatibleModel: its inputs or outputs do not fit the manifest.
    """
    module = import_module(_MODULES[name])
    engine: Engine = module.load(name, folder, manifest, threads, shared=shared)
    return engine
