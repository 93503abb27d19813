"""Means over blocks of pixels, as a network's own first layer takes them."""

import numpy as np
from numpy.typing import NDArray

_LARGEST_16_BIT_POOL = 257  # whose column of 255s still fits into 16 bits


def block_means(images: NDArray[np.uint8] | NDArray[np.float32], pool: int) -> NDArray[np.float32]:
    """Return the means over blocks from the top left; what fills no block is left out.

    That is Keras's `AveragePooling2D(pool)` with its default padding, "valid". Of bytes, the sums
    are exact, and each mean is the float32 nearest to the true one.

    Args:
        images: (N, H, W).
        pool: side of a block, in pixels.

    Returns:
        (N, H // pool, W // pool) float32.
    """
    count, height, width = images.shape
    rows, columns = height // pool, width // pool
    whole = images[:, : rows * pool, : columns * pool]
    exact = images.dtype == np.uint8
    narrow = np.uint16 if pool <= _LARGEST_16_BIT_POOL else np.uint32
    # Rows first: they are added in long runs, and what is left is small.
    bands = whole.reshape(count, rows, pool, -1).sum(axis=2, dtype=narrow if exact else np.float32)
    sums = bands.reshape(count, rows, columns, pool).sum(
        axis=3, dtype=np.uint32 if exact else np.float32
    )
    return np.asarray(sums / np.float32(pool * pool), np.float32)
