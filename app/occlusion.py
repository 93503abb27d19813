"""Where a model looked: which parts of an image speak for a class, and which against it.

By occlusion (Zeiler and Fergus 2014): a patch is painted over with the image's commonest grey, and
what that does to the class's log-odds is put down to the patch. It needs nothing but predictions,
so it works with every engine. It cannot tell what patches do together, or what a shape smaller than
a patch does.
"""

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import Overloaded
from app.loaded_model import LoadedModel
from app.pipeline import Answer, MakePixels, Pipeline

# Patches per image; each costs one prediction.
PATCHES = 200
# Explanations computed at once; each costs as much as 200 requests.
AT_ONCE = 2
# Probabilities are kept this far from 0, where float32 knows no more.
SMALLEST = float(np.finfo(np.float32).tiny)
# A change of the log-odds below this is noise; the map is then empty.
NOISE = 0.02

FOR, AGAINST = (216, 64, 32), (32, 96, 216)  # RGB


class Explainer:
    """Makes heat maps, a few at a time."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def explain(self, model: LoadedModel, data: bytes, label: int | None) -> bytes:
        """Return a heat map as an RGBA PNG of the model's own size, to be laid over the preview.

        Args:
            model: whose labels they are.
            data: the encoded image.
            label: index into its labels; None: the most probable one.

        Raises:
            EmptyUpload, MalformedUpload, ImageError: the bytes cannot become pixels.
            NothingToSee: they show no ink.
            Overloaded: other explanations are being computed.
        """
        if self._turns.locked():
            raise Overloaded(
                f"Expected fewer than {AT_ONCE} other explanations. Received: one more"
            )
        async with self._turns:
            pixels = await self._pipeline.in_thread(
                lambda: self._pipeline.visible_pixels(model, data)
            )
            step = stride(model.shape)
            occluded = occlusions(pixels, step)
            images = [lambda: pixels, *occluded]
            answers = await self._pipeline.predict_many(model, images, are_incoming=False)
            probabilities = _probabilities(answers)  # (1 + patches, labels)
            if label is None:
                label = int(probabilities[0].argmax())
            odds = log_odds(probabilities, label)
            scores = odds[0] - odds[1:]
            grid = scores.reshape(len(range(0, model.shape[0], step)), -1)
            return await asyncio.to_thread(heat_map, grid, model.shape)


def stride(shape: tuple[int, int]) -> int:
    """Return the distance of neighbouring patches; a patch is twice as wide and high."""
    return max(1, round(math.sqrt(shape[0] * shape[1] / PATCHES)))


def occlusions(pixels: NDArray[np.uint8], step: int) -> list[MakePixels]:
    """Return what makes the pixels of each patch's image, row by row."""
    grey = int(np.bincount(pixels.reshape(-1), minlength=256).argmax())
    height, width = pixels.shape
    return [
        partial(_occluded, pixels, top, left, 2 * step, grey)
        for top in range(0, height, step)
        for left in range(0, width, step)
    ]


def log_odds(probabilities: NDArray[np.float64], label: int) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of one label, finite, (images,), from (images, labels).

    1 - p is the sum of the others. Where the model is so sure that float32 rounds p to 1, they
    still tell how sure, as logits would.
    """
    others = np.delete(probabilities, label, axis=1).sum(axis=1)
    of_label, of_others = (np.maximum(p, SMALLEST) for p in (probabilities[:, label], others))
    odds: NDArray[np.float64] = np.log(of_label) - np.log(of_others)
    return odds


def heat_map(grid: NDArray[np.float64], shape: tuple[int, int]) -> bytes:
    """Draw scores per patch as an RGBA PNG: red speaks for the class, blue against it.

    Args:
        grid: (rows, columns), change of the log-odds by each patch.
        shape: (H, W) of the picture.
    """
    height, width = shape
    image = Image.fromarray(grid.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    heat = np.asarray(image)  # (H, W)
    strongest = max(float(np.abs(heat).max()), NOISE)
    colours = np.empty((height, width, 4), np.uint8)
    colours[..., :3] = np.where(heat[..., None] > 0, FOR, AGAINST)
    colours[..., 3] = np.abs(heat) / strongest * 255
    if strongest <= NOISE:
        colours[..., 3] = 0
    buffer = BytesIO()
    Image.fromarray(colours, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def _occluded(
    pixels: NDArray[np.uint8], top: int, left: int, side: int, grey: int
) -> NDArray[np.uint8]:
    out = pixels.copy()
    # The patch's middle lies in its cell of the grid.
    start_row, start_column = max(0, top - side // 4), max(0, left - side // 4)
    out[start_row : top - side // 4 + side, start_column : left - side // 4 + side] = grey
    return out


def _probabilities(answers: Sequence[Answer | Exception]) -> NDArray[np.float64]:
    rows = []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        rows.append(answer.probabilities.astype(np.float64))
    return np.stack(rows)
