"""What the reader of a file format finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contents:
    """The part of an image file that its first frame needs.

    Attributes:
        width: columns of the canvas, in pixels, as stored in the file.
        height: rows of the canvas.
        essential: a complete file of the same format, without anything else.
        exif: raw EXIF block, with or without its "Exif" prefix.
        transparent: the colour that means see-through, in the decoder's samples: one number, or
            red, green and blue. For formats that name one; palettes keep theirs.
        extent: left, top, right, bottom of the part of the canvas that the first frame covers,
            where that is not all of it.
    """

    width: int
    height: int
    essential: bytes
    exif: bytes | None = None
    transparent: tuple[int, ...] | None = None
    extent: tuple[int, int, int, int] | None = None
