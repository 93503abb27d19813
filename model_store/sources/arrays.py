"""Images that stand decoded in one `.npz` in Keras's own layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.errors import InvalidLayout
from model_store.pixels.preprocessing import encode_png
from model_store.sources.source import Item


@dataclass(frozen=True)
class ArraySource:
    """Images that stand decoded in an array; `preprocess` gets them as PNG."""

    items: Sequence[Item]
    labels: Sequence[str]
    arrays: Sequence[NDArray[np.uint8]]  # one (H, W) per item
    notes: Sequence[str] = ()

    def is_image(self, index: int) -> bool:
        """Return True."""
        del index
        return True

    def content(self, index: int) -> bytes:
        """Return shape and pixels, which cost less than an encoding."""
        array = self.arrays[index]
        return f"array {array.shape}\n".encode() + array.tobytes()

    def encoded(self, index: int) -> bytes:
        """Return the array as a lossless PNG."""
        return encode_png(self.arrays[index])

    def part(self, chosen: Sequence[int]) -> "ArraySource":
        """Return the images at `chosen` alone."""
        return ArraySource([self.items[i] for i in chosen], (), [self.arrays[i] for i in chosen])


def open_npz(path: Path, splits: Sequence[str], *, labelled: bool = True) -> ArraySource:
    """Open `x_train`, `y_train`, … of the `splits`, without the labels where they are unknown.

    Raises:
        InvalidLayout: an array is missing, or not what Keras has there.
    """
    names = [f"x_{s}" for s in splits] + [f"y_{s}" for s in splits if labelled]
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := sorted(set(names) - set(archive.files)):
                raise InvalidLayout(
                    f"{path}: expected the arrays {', '.join(names)}. "
                    f"Received: {', '.join(archive.files) or 'none'}"
                )
            arrays = {name: archive[name] for name in names}
            del missing
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InvalidLayout(
            f"{path}: expected an .npz of plain arrays (pickled objects are refused). "
            f"Received: {type(error).__name__}"
        ) from error
    items: list[Item] = []
    images: list[NDArray[np.uint8]] = []
    classes: set[int] = set()
    for split in splits:
        pixels = _checked_images(f"x_{split}", arrays[f"x_{split}"])
        truth = _checked_labels(split, arrays[f"y_{split}"], len(pixels)) if labelled else None
        classes.update(truth or ())
        images.extend(pixels)
        items.extend(
            Item(f"x_{split}[{i}]", str(truth[i]) if truth else None, split)
            for i in range(len(pixels))
        )
    return ArraySource(items, [str(c) for c in sorted(classes)], images)


def _checked_images(name: str, array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InvalidLayout(
            f"{name}: expected integers of shape (images, height, width). "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise InvalidLayout(f"{name}: expected pixels in 0-255. Received: {low} to {high}")
    return array.astype(np.uint8, copy=False)


def _checked_labels(split: str, array: NDArray[np.generic], images: int) -> list[int]:
    flat = array.reshape(-1)
    if flat.size != images or not np.issubdtype(array.dtype, np.integer):
        raise InvalidLayout(
            f"y_{split}: expected one integer label for each of the {images} images. "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    return [int(value) for value in flat]
