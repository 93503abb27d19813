"""Which size of the model's images suits a folder, and what another one does to its pictures."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

_MOST_PIXELS = 960 * 480  # finer ones cost more and are hardly ever used
_MULTIPLE = 16  # so that blocks of any side up to it fill the image
_NOTICED = 1.25  # stretching by less is no loss
_SHAPES_DIFFER = 1.5


@dataclass(frozen=True, slots=True)
class Size:
    """What suits the typical picture, and what the size in question does to it."""

    height: int  # suggested rows
    width: int  # suggested columns
    typical_height: int
    typical_width: int
    stretch: float  # of width against height, at the size in question; 1: the shape is kept
    narrowest: float  # width over height that a tenth of the pictures is below
    widest: float  # and that a tenth is above

    @property
    def options(self) -> str:
        """The suggestion as options of `fit`."""
        return f"--height {self.height} --width {self.width}"

    def warnings(self, height: int, width: int) -> list[str]:
        """Return what to know of images that are `height` by `width` pixels for the model."""
        sentences = []
        if not 1 / _NOTICED <= self.stretch <= _NOTICED:
            share = min(self.stretch, 1 / self.stretch)
            sentences.append(
                f"{height} high and {width} wide squeezes the typical image, {self.typical_width} "
                f"x {self.typical_height} (width x height), to {share:.0%} of its "
                f"{'width' if self.stretch < 1 else 'height'}; {self.options} keeps its shape."
            )
        if self.widest > _SHAPES_DIFFER * self.narrowest:
            sentences.append(
                f"The shapes differ: width over height goes from {self.narrowest:.2g} to "
                f"{self.widest:.2g}, and all are stretched to one. Crop them alike where you can."
            )
        return sentences


def look_at_size(sizes: Sequence[tuple[int, int]], height: int, width: int) -> Size | None:
    """Return what suits images of `sizes`, and what `height` by `width` pixels would do to them.

    Args:
        sizes: (height, width) of each readable image, upright; None comes of none.
        height: rows of the model's images.
        width: columns of the model's images.
    """
    if not sizes:
        return None
    tall, wide = _typical(sizes)
    ratios = [w / h for h, w in sizes]
    tenths = quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else ratios
    return Size(
        *_suggested(tall, wide),
        typical_height=tall,
        typical_width=wide,
        stretch=width / height * tall / wide,
        narrowest=tenths[0],
        widest=tenths[-1],
    )


def _typical(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the size of most images; where there is none, that of the median area and shape."""
    (commonest, count) = Counter(sizes).most_common(1)[0]
    if 2 * count > len(sizes):
        return commonest
    area, ratio = median(h * w for h, w in sizes), median(w / h for h, w in sizes)
    return max(1, round(math.sqrt(area / ratio))), max(1, round(math.sqrt(area * ratio)))


def _suggested(height: int, width: int) -> tuple[int, int]:
    shrink = math.sqrt(_MOST_PIXELS / (height * width))
    if shrink >= 1:
        return height, width
    return _rounded(height * shrink), _rounded(width * shrink)


def _rounded(side: float) -> int:
    return max(_MULTIPLE, int(side) // _MULTIPLE * _MULTIPLE)
