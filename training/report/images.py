"""The page's images: which ones, and each as a small PNG inside the page."""

import io
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.record import RunRecord, Sample

# A grayscale PNG of a photograph takes about a byte per pixel in base64: 1.6 MB for all of them.
_PIXELS_PER_REPORT = 1_600_000
_LONGEST_SIDE = 320
_PIXEL_ART_SIDE = 64


class Thumbnail(NamedTuple):
    """One image as the attributes of an <img>."""

    src: str
    width: int
    height: int
    relative_width: float  # at which it has the area of a square of side 1, within reason
    enlarged: bool  # so small that its pixels are shown as squares


def class_samples(record: RunRecord) -> Mapping[str, NDArray[np.uint8]] | None:
    """Return (k, H, W) training images by label; None where the report holds no images."""
    return record.class_samples if record.images_in_report else None


def augmented(record: RunRecord) -> NDArray[np.uint8] | None:
    """Return (rows, 1 + k, H, W), an original first in each row; None as above."""
    return record.augmented if record.images_in_report else None


def predictions(record: RunRecord) -> dict[str, Any] | None:
    """Return cards of wrong predictions, the most confident first, and of right ones."""
    if not record.images_in_report:
        return None
    return {
        "wrong": [_card(sample, record.labels) for sample in record.wrong],
        "right": [_card(sample, record.labels) for sample in record.right],
    }


def thumbnails_for(record: RunRecord) -> Callable[[NDArray[np.uint8]], Thumbnail]:
    """Return a maker of thumbnails that shares the page's pixels among the images of `record`."""
    shown = sum(map(len, record.class_samples.values())) + len(record.right) + len(record.wrong)
    rows, columns = record.augmented.shape[:2]
    max_pixels = _PIXELS_PER_REPORT // max(shown + rows * columns, 1)
    return lambda pixels: _thumbnail(pixels, max_pixels)


def _card(sample: Sample, labels: Any) -> dict[str, Any]:
    said = int(sample.probabilities.argmax())
    answers = dict.fromkeys((said, sample.truth))  # one where they are the same
    return {
        "path": sample.path,
        "pixels": sample.pixels,
        "truth": labels[sample.truth],
        "said": labels[said],
        "answers": [
            (labels[index], float(sample.probabilities[index]), index == sample.truth)
            for index in answers
        ],
    }


def _thumbnail(pixels: NDArray[np.uint8], max_pixels: int) -> Thumbnail:
    """Return (H, W) uint8 pixels as a PNG, downscaled where they are too many."""
    image = _shrunk(Image.fromarray(pixels), max_pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return Thumbnail(
        f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}",
        image.width,
        image.height,
        min(max(math.sqrt(image.width / image.height), 0.5), 2.0),
        max(pixels.shape) <= _PIXEL_ART_SIDE,
    )


def _shrunk(image: Image.Image, max_pixels: int) -> Image.Image:
    scale = min(
        math.sqrt(max_pixels / (image.width * image.height)), _LONGEST_SIDE / max(image.size)
    )
    if scale >= 1:
        return image
    size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX)
