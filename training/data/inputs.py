"""Labelled images as a network of some resolution sees them: block means, read in any order."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_store.pixels.pooling import block_means
from training.data.cache import PixelCache

# Up to so many bytes are held in memory; what is larger is read from the cache batch by batch.
_IN_MEMORY_BYTES = 200_000_000
_READ_AT_A_TIME = 256

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Inputs:
    """What a network learns from: images as block means, with their labels as indices."""

    truth: NDArray[np.int64]  # (N,)
    read: Callable[[NDArray[np.int64]], Floats]  # (n,) indices -> (n, rows, columns), 0 to 255

    def __len__(self) -> int:
        return len(self.truth)

    def part(self, chosen: NDArray[np.int64]) -> "Inputs":
        """Return only the `chosen` images, (n,) indices, in that order."""
        return Inputs(self.truth[chosen], partial(self._read_part, chosen))

    def in_memory(self) -> "Inputs":
        """Return the same images, held in memory where they are small enough for that."""
        if self.read(np.arange(1)).nbytes * len(self) > _IN_MEMORY_BYTES:
            return self
        return Inputs(self.truth, self.everything().__getitem__)

    def everything(self) -> Floats:
        """Return all images, (N, rows, columns), N >= 1; read in parts, for they come from more."""
        first = self.read(np.arange(1))
        images = np.empty((len(self), *first.shape[1:]), np.float32)
        for start in range(0, len(self), _READ_AT_A_TIME):
            part = images[start : start + _READ_AT_A_TIME]
            part[:] = self.read(np.arange(start, start + len(part)))
        return images

    def _read_part(self, part: NDArray[np.int64], chosen: NDArray[np.int64]) -> Floats:
        return self.read(part[chosen])


def cached_inputs(
    cache: PixelCache, rows: NDArray[np.int64], truth: NDArray[np.int64], pool: int
) -> Inputs:
    """Return images of the cache as means over `pool` x `pool` pixels, a multiple of its own."""
    return Inputs(truth, partial(_read_pooled, cache, rows, pool // cache.pool))


def _read_pooled(
    cache: PixelCache, rows: NDArray[np.int64], factor: int, chosen: NDArray[np.int64]
) -> Floats:
    images = cache.read(rows[chosen])
    return images.astype(np.float32) if factor == 1 else block_means(images, factor)
