"""Odd image files, hundreds of them, each with what must become of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What a file that is refused raises; the same three names the service has a code for.
UNSUPPORTED, UNDECODABLE, TOO_MANY = "UnsupportedFormat", "UndecodableImage", "TooManyPixels"

SIDE = 32  # of the images that hold something, in pixels; a multiple of what encoders work in

# Grey levels of the four quarters: top left, top right, bottom left, bottom right.
Quarters = tuple[int, int, int, int]
QUARTERS: Quarters = (30, 90, 160, 220)
WHITE: Quarters = (255, 255, 255, 255)


@dataclass(frozen=True, slots=True)
class OddFile:
    """A file, and either the error it is refused with or the quarters that come out of it."""

    name: str
    data: bytes
    expected: str | Quarters
    tolerance: int = 2


# Name, data and what is expected of an odd file, and its tolerance where that is another.
Row = tuple[str, bytes, str | Quarters] | tuple[str, bytes, str | Quarters, int]


def quarters(values: tuple[object, ...], dtype: type = int) -> NDArray[np.generic]:
    """(SIDE, SIDE, …) with one of four values, numbers or tuples, in each quarter."""
    top_left, top_right, bottom_left, bottom_right = (np.array(value, dtype) for value in values)
    half = SIDE // 2
    array = np.empty((SIDE, SIDE, *top_left.shape), dtype)
    array[:half, :half], array[:half, half:] = top_left, top_right
    array[half:, :half], array[half:, half:] = bottom_left, bottom_right
    return array


def grays() -> NDArray[np.generic]:
    return quarters(QUARTERS, np.uint8)


def colors() -> NDArray[np.generic]:
    """Colours whose luma are QUARTERS."""
    return quarters(((30, 30, 30), (90, 90, 90), (160, 160, 160), (220, 220, 220)), np.uint8)


def measured(pixels: NDArray[np.uint8]) -> Quarters:
    """The mean level inside each quarter, away from its edges."""
    eighths = [side // 8 for side in pixels.shape]

    def level(top: int, left: int) -> int:
        rows, columns = (
            slice((4 * at + 1) * eighth, (4 * at + 3) * eighth)
            for at, eighth in zip((top, left), eighths, strict=True)
        )
        return round(float(pixels[rows, columns].mean()))

    return level(0, 0), level(0, 1), level(1, 0), level(1, 1)


def odd_files() -> Iterator[OddFile]:
    """Every odd file, made as it is asked for."""
    from odd_bombs import bombs
    from odd_damage import damaged
    from odd_layouts import layouts
    from odd_structures import structures

    for rows in (layouts(), structures(), damaged(), bombs()):
        yield from (OddFile(*row) for row in rows)
