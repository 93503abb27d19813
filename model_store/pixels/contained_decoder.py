"""A program that decodes one image, and that the system stops where it takes too much.

    python contained_decoder.py KIND MAX_PIXELS

The file comes from standard input. To standard output go one line of JSON, the header; and then,
unless it announces more than MAX_PIXELS, the samples, row by row. Any other end than exit status 0
means that the file is broken. Nothing of this project is imported: that would take longer than the
decoding.
"""

import json
import resource
import sys
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import AvifImagePlugin, ExifTags, Image
from PIL.ImageFile import ImageFile

# Of the 20 bytes that docs/reliability.md states, the caller needs some for what it receives. The
# spare is what a decoder takes for an image of no size.
BYTES_PER_PIXEL = 16
TIMES_THE_FILE = 3
SPARE_BYTES = 32_000_000
MOST_CPU_SECONDS = 20

_ROWS = 64


def main(kind: str, max_pixels: int, file: BinaryIO, out: BinaryIO) -> None:
    """Decode one image."""
    base = _data_bytes()
    Image.MAX_IMAGE_PIXELS = None  # the caller's limit counts, and warnings are nobody's
    data = file.read()
    spare = TIMES_THE_FILE * len(data) + SPARE_BYTES
    _limit(base, spare)
    image = _opened(kind, data)
    pixels = image.width * image.height
    out.write(json.dumps(_header(kind, image)).encode() + b"\n")
    if pixels > max_pixels:
        return
    _limit(base, spare + BYTES_PER_PIXEL * pixels)
    image.load()
    for top in range(0, image.height, _ROWS):  # whole, the samples would be in memory twice
        bottom = min(top + _ROWS, image.height)
        out.write(image.crop((0, top, image.width, bottom)).tobytes())


def _opened(kind: str, data: bytes) -> ImageFile:
    """Return an image of which only the header was read.

    One thread each, so that the caller's number of threads is the number of threads.
    """
    if kind == "AVIF":
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        return AvifImagePlugin.AvifImageFile(BytesIO(data), "")
    if kind == "HEIC":
        from pi_heif import options
        from pi_heif.as_plugin import HeifImageFile

        options.DECODE_THREADS = 1
        options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
        image: ImageFile = HeifImageFile(BytesIO(data), "")
        return image
    from PIL.TiffImagePlugin import TiffImageFile

    return TiffImageFile(BytesIO(data), "")


def _header(kind: str, image: ImageFile) -> dict[str, object]:
    """Describe an image, and the turn that it still needs after it was loaded.

    HEIF and TIFF say themselves how a picture is turned, and an EXIF block inside of HEIF does not
    count. libheif turns it, so does Pillow a TIFF; of an AVIF, Pillow tells it as if by EXIF.
    """
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if kind == "AVIF" else 1
    return {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "orientation": orientation,
        "pages": getattr(image, "n_frames", 1),
    }


def _data_bytes() -> int:
    """Return the memory that this process can write to; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _limit(base: int, more: int) -> None:
    """Let memory grow by `more` bytes beyond `base`."""
    if base:
        resource.setrlimit(resource.RLIMIT_DATA, (base + more, resource.RLIM_INFINITY))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))
    main(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)
