"""What a file is, by its first bytes: formats that are decoded, and what often comes instead.

The only list of its kind. Which of them a model takes stands in its ImageSpec.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """How to know a format, and what to do where a model does not take it."""

    first_bytes: bytes  # a pattern
    extensions: tuple[str, ...] = ()  # of formats that are decoded; the usual one first
    advice: str = "Convert it to one of these."


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an encoded image says; the size is the upright image's."""

    format: str
    mode: str
    width: int
    height: int


FIRST_BYTES = 256  # so many are enough to tell a format that is decoded

# Any XML or byte order mark that may stand before the first tag of a text.
_BEFORE_TAG = rb"(?i)(?:\xef\xbb\xbf)?\s{0,100}<"

# The first that matches counts.
FORMATS: dict[str, Format] = {
    "JPEG": Format(rb"\xff\xd8\xff", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "PNG": Format(rb"\x89PNG\r\n\x1a\n", (".png",)),
    "WEBP": Format(rb"RIFF.{4}WEBP", (".webp",)),
    "BMP": Format(rb"BM", (".bmp", ".dib")),
    "GIF": Format(rb"GIF8[79]a", (".gif",)),
    # Two codings in one container. Where its first brand is neutral, the others tell.
    "AVIF": Format(rb".{4}ftyp(?:(?:mif1|msf1)(?:.{4}){1,16}?)?avi[fs]", (".avif", ".avifs")),
    "HEIC": Format(
        rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)",
        (".heic", ".heif", ".hif"),
        advice="Export it as JPEG. An iPhone takes JPEGs itself after Settings > Camera > "
        "Formats > Most Compatible.",
    ),
    "TIFF": Format(rb"II[*+]\x00|MM\x00[*+]", (".tif", ".tiff")),
    "JPEG 2000": Format(rb"\x00{3}\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    "PDF": Format(rb"%PDF-", advice="It is a document: export its page as PNG."),
    "HTML": Format(
        _BEFORE_TAG + rb"(?:!doctype html|html|head|body)\b",
        advice="It is a web page: send the image that it shows.",
    ),
    "SVG": Format(
        _BEFORE_TAG + rb"(?:[?!].{0,1000}?<)?svg\b",
        advice="It is a drawing without pixels: export it as PNG.",
    ),
    "video": Format(
        rb".{4}ftyp(?:iso.|mp4.|avc1|M4V|3g[p2]|qt )|RIFF.{4}AVI |\x1a\x45\xdf\xa3",
        advice="Export one of its pictures as PNG.",
    ),
}
_PATTERNS = {name: re.compile(one.first_bytes, re.DOTALL) for name, one in FORMATS.items()}


def format_of(data: bytes) -> str | None:
    """Return the name in `FORMATS` that the first bytes announce, or None."""
    return next((name for name, pattern in _PATTERNS.items() if pattern.match(data)), None)


def extension_of(data: bytes) -> str:
    """Return the usual extension of a format that is decoded, with its dot."""
    return FORMATS[format_of(data) or ""].extensions[0]
