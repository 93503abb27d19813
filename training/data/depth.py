"""Whether 16-bit images use the range that they have room for."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from model_store.cpu import available_cpus
from model_store.errors import ImageError
from model_store.pixels.decoding import largest_16_bit_sample
from model_store.pixels.grayscale import SIXTEEN_BIT
from model_store.pixels.preprocessing import DEFAULT_MAX_PIXELS
from model_store.sources import Source
from training.data.reading import Record

_LOOKED_AT = 100
_SMALL_PART = 4  # two bits of sixteen


@dataclass(frozen=True, slots=True)
class Depth16:
    """The 16-bit grayscale images of a data set."""

    looked_at: int  # images
    largest: int  # sample in them, 0-65535
    white: int  # the sample that the ImageSpec takes for white

    def warning(self) -> str | None:
        """Return what to do where the range does not fit, else None."""
        said = f"The largest value in {self.looked_at} of the 16-bit images is {self.largest}"
        if self.largest > self.white:
            return f"{said}: what is above {self.white} (--depth16-max) is white."
        if self.largest * _SMALL_PART > self.white:
            return None
        fitting = max(255, 2 ** self.largest.bit_length() - 1)
        return (
            f"{said}, and white is {self.white}: they are dark, and little is left of their "
            f"contrast. If theirs is {fitting}, give --depth16-max {fitting}."
        )


def look_at_depth(source: Source, records: Sequence[Record], white: int) -> Depth16 | None:
    """Decode up to 100 of the 16-bit images, evenly spread; None if there is none.

    Args:
        source: the images.
        records: one per item, what reading it told.
        white: `depth16_max` of the ImageSpec.
    """
    deep = [i for i, record in enumerate(records) if record.mode in SIXTEEN_BIT]
    chosen = deep[:: -(-len(deep) // _LOOKED_AT)] if deep else []

    def largest(index: int) -> int | None:
        try:
            return largest_16_bit_sample(source.encoded(index), DEFAULT_MAX_PIXELS)
        except (ImageError, OSError):  # it was readable a moment ago
            return None

    with ThreadPoolExecutor(available_cpus()) as pool:
        found = [peak for peak in pool.map(largest, chosen) if peak is not None]
    return Depth16(len(found), max(found), white) if found else None
