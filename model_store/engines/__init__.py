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
        """Return what the network takes of images, C-contiguous; any thread may call.

        Args:
            images: (N, H, W) uint8, C-contiguous, N >= 1, as `preprocess` returns them.
        """
        return images

    def infer(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return softmax probabilities of what `inputs` returned; one thread at a time may call.

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


def open_engine(
    name: EngineName, folder: Path, manifest: Manifest, threads: int | None, *, shared: bool
) -> Engine:
    """Load one engine of a bundle whose files are verified, from the module it is named after.

    Args:
        name: a key of `manifest.engines`.
        folder: the bundle.
        manifest: its manifest.
        threads: CPU threads the engine may use; None: one for a small network, else all that
            this process may use. Of TensorFlow, the first engine of a process decides.
        shared: whether other processes serve the same bundle, so that holding its weights once is
            worth more than the least time for a batch. TensorFlow copies them in any case.

    Raises:
        EngineUnavailable: the engine's library is not installed, or it cannot run here.
        UnsafeModel: the file could run code.
        IncompatibleModel: its inputs or outputs do not fit the manifest.
    """
    module = import_module(f"model_store.engines.{name.partition('-')[0]}")
    engine: Engine = module.load(name, folder, manifest, threads, shared=shared)
    return engine
