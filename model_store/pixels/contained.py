"""Images whose decoder works in a process of its own.

What an AVIF, a HEIC or a TIFF announces does not bound what its decoder takes: 2 KB can hold 268
million pixels under a header of 100. So the system bounds the process. It also keeps a decoder that
crashes from taking the service with it.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from model_store.errors import UndecodableImage, UnsupportedFormat
from model_store.pixels.guards import check_size
from model_store.spec import ImageFormat

CONTAINED: frozenset[ImageFormat] = frozenset({"AVIF", "HEIC", "TIFF"})

_PROGRAM = Path(__file__).with_name("contained_decoder.py")
# The process ends itself by processor time long before; this is for one that waits for nothing.
_MOST_SECONDS = 120

# Of the many kinds of TIFF those that cameras, scanners and editors write.
_TIFF_MODES = frozenset({"L", "LA", "I;16", "I;16B", "RGB", "RGBA", "RGBa", "RGBX"})


def decode_contained(data: bytes, kind: ImageFormat, max_pixels: int) -> tuple[Image.Image, int]:
    """Return the loaded first picture of a file, and its EXIF orientation.

    Raises:
        UnsupportedFormat: the library that decodes it is not installed.
        TooManyPixels: the header announces more than `max_pixels`; nothing was decoded.
        UndecodableImage: a TIFF of an unusual kind.
        Exception: the file is broken.
    """
    if kind == "HEIC" and find_spec("pi_heif") is None:
        raise UnsupportedFormat(
            "Expected an image that can be decoded here. Received: HEIC, whose decoder, pi-heif, "
            "is not installed"
        )
    done = subprocess.run(  # noqa: S603  # our own program; the file is its standard input
        [sys.executable, "-P", str(_PROGRAM), kind, str(max_pixels)],
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_MOST_SECONDS,
        check=False,
    )
    end = done.stdout.find(b"\n")
    header = json.loads(done.stdout[:end])
    size = header["width"], header["height"]
    check_size(kind, size, max_pixels)
    mode, pages = header["mode"], header["pages"]
    if kind == "TIFF" and (mode not in _TIFF_MODES or pages != 1):
        raise UndecodableImage(
            "Expected a TIFF of one page, in gray, RGB or RGBA of 8 or 16 bits. "
            f"Received: {pages} pages in mode {mode}"
        )
    done.check_returncode()
    samples = np.frombuffer(done.stdout, np.uint8, offset=end + 1)
    image = Image.frombuffer(mode, size, samples, "raw", mode, 0, 1)
    return image, header["orientation"]
