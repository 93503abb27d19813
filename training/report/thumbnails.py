"""Images as small PNGs inside the page."""

import io
import math
from base64 import b64encode
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.record import RunRecord
from training.report.markup import Html, tag

# A grayscale PNG of a photograph takes about a byte per pixel in base64: 1.6 MB for all of them.
_PIXELS_PER_REPORT = 1_600_000
_LONGEST_SIDE = 320
_PIXEL_ART_SIDE = 64


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Embeds images, none of them with more than `max_pixels` pixels."""

    max_pixels: int

    def img(self, pixels: NDArray[np.uint8], alt: str) -> Html:
        """Return an <img> that holds (H, W) uint8 pixels, downscaled where they are too many."""
        small = self._shrunk(pixels)
        buffer = io.BytesIO()
        small.save(buffer, "PNG", optimize=True)
        return tag(
            "img",
            src=f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}",
            alt=alt,
            width=str(small.width),
            height=str(small.height),
            class_="pixels" if max(pixels.shape) <= _PIXEL_ART_SIDE else None,
            style=f"--s:{_relative_width(small):.3f}",
        )

    def _shrunk(self, pixels: NDArray[np.uint8]) -> Image.Image:
        image = Image.fromarray(pixels)
        scale = min(
            1.0,
            math.sqrt(self.max_pixels / (image.width * image.height)),
            _LONGEST_SIDE / max(image.size),
        )
        if scale == 1:
            return image
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        return image.resize(size, Image.Resampling.BOX)


def _relative_width(image: Image.Image) -> float:
    """Return the width at which an image has the area of a square of side 1, within reason."""
    return min(max(math.sqrt(image.width / image.height), 0.5), 2.0)


def thumbnails_for(record: RunRecord) -> Thumbnails:
    """Share the page's pixels among all the images that `record` shows."""
    images = (
        sum(len(samples) for samples in record.class_samples.values())
        + record.augmented.shape[0] * record.augmented.shape[1]
        + len(record.right)
        + len(record.wrong)
    )
    return Thumbnails(max_pixels=_PIXELS_PER_REPORT // max(images, 1))
