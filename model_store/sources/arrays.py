"""Images that stand decoded in one `.npz` in Keras's own layout."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.errors import InvalidLayout
from model_store.sources.source import Item, Source


def open_npz(path: Path, splits: Sequence[str], *, labelled: bool = True) -> Source:
    """Open `x_train`, `y_train`, … of the `splits`, without the labels where they are unknown.

    Raises:
        InvalidLayout: an array is missing, or not what Keras has there.
    """
    names = [f"x_{s}" for s in splits] + [f"y_{s}" for s in splits if labelled]
    try:
        # NumPy leaves a file that it opened itself open where it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not set(names) <= set(archive.files):
                raise InvalidLayout(
                    f"{path}: expected the arrays {', '.join(names)}. "
                    f"Received: {', '.join(archive.files) or 'none'}"
                )
            arrays = {name: archive[name] for name in names}
    except InvalidLayout:
        raise
    except Exception as error:  # a dozen kinds, of files that are broken or no archive at all
        raise InvalidLayout(
            f"{path}: expected an .npz of plain arrays (pickled objects are refused). "
            f"Received: {type(error).__name__}"
        ) from error
    items: list[Item] = []
    classes: set[int] = set()
    for split in splits:
        images = _checked_images(f"x_{split}", arrays[f"x_{split}"])
        truth = _checked_labels(split, arrays[f"y_{split}"], len(images)) if labelled else None
        classes.update(truth or ())
        items.extend(
            Item(f"x_{split}[{i}]", str(truth[i]) if truth else None, split, image)
            for i, image in enumerate(images)
        )
    return Source(items, [str(c) for c in sorted(classes)])


def _checked_images(name: str, array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InvalidLayout(
            f"{name}: expected integers of shape (images, height, width), at least one image. "
            f"Received: {array.dtype} of shape {array.shape}{_way_to_bytes(array)}"
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
            f"Received: {array.dtype} of shape {array.shape}{_way_to_integers(array)}"
        )
    return [int(value) for value in flat]


def _way_to_bytes(array: NDArray[np.generic]) -> str:
    """Return what makes grey levels of an array, or nothing where that cannot be told."""
    if array.size == 0 or array.dtype.kind not in "fbiu":
        return ""
    if array.ndim == 2:
        return ". Flat rows become images by x.reshape(-1, height, width)"
    values = "(255 * x)" if array.max() <= 1 else "x"
    grey = f"{values}.mean(axis=-1)" if array.ndim == 4 else values
    return f". Grey levels are made by {grey}.round().astype('uint8')"


def _way_to_integers(array: NDArray[np.generic]) -> str:
    """Return what makes class numbers of labels, or nothing where that cannot be told."""
    if array.ndim == 2 and array.shape[1] > 1:
        return ". One-hot labels become numbers by y.argmax(axis=1)"
    if array.dtype.kind in "US":
        return (
            ". Names are kept as class folders; numpy.unique(y, return_inverse=True) numbers them"
        )
    return ". They become numbers by y.astype(int)" if array.dtype.kind in "fb" else ""
