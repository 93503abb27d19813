"""What decoding gives and costs: as a program, it measures files, and prints a line of JSON each.

python decoding_costs.py odd       every odd file
python decoding_costs.py FILE …    files, each best in a process of its own, because memory that one
                                   file needed is there for the next
"""

import json
import resource
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from handmade_images import (
    GRAY,
    GRAY_ALPHA,
    INDEXED,
    PNG_SIGNATURE,
    TRUECOLOR,
    TRUECOLOR_ALPHA,
    bmp,
    chunk,
    ihdr,
)
from odd_bombs import progressive
from odd_files import OddFile, measured, odd_files
from pictures import encoded
from PIL import Image

from model_store.errors import ImageError
from model_store.pixels.contained import CONTAINED, decode_contained
from model_store.pixels.decoding import open_image
from model_store.pixels.formats import format_of
from model_store.pixels.preprocessing import DEFAULT_MAX_PIXELS, preprocess
from model_store.spec import ImageSpec

SPEC = ImageSpec.for_size(960, 480)
LINUX = sys.platform == "linux"
CHANNELS = {GRAY: 1, TRUECOLOR: 3, INDEXED: 1, GRAY_ALPHA: 2, TRUECOLOR_ALPHA: 4}
# Fits DEFAULT_MAX_PIXELS with a row short enough for the compressor to find it again.
TALL = (3500, 14_285)
SQUARE = (7071, 7071)
PAETH = 4  # the slowest of the five PNG filters


def png_of_one_row(depth: int, kind: int, trns: bytes = b"") -> bytes:
    """As many pixels as are allowed, of noise that compresses to a few megabytes."""
    width, height = TALL
    noise = np.random.default_rng(0).bytes(width * CHANNELS[kind] * depth // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes([PAETH]) + noise) for _ in range(height))
    parts = [PNG_SIGNATURE, ihdr(width, height, depth, kind)]
    parts += [chunk(b"tRNS", trns)] if trns else []
    return b"".join([*parts, chunk(b"IDAT", data + packer.flush()), chunk(b"IEND")])


def blank(mode: str, kind: str, **options: object) -> bytes:
    return encoded(Image.new(mode, SQUARE), kind, **options)


# The worst that fit the service's default limits, by time or by memory.
WORST: dict[str, Callable[[], bytes]] = {
    "png-16-bit-alpha": lambda: png_of_one_row(16, TRUECOLOR_ALPHA),
    "png-16-bit-color-key": lambda: png_of_one_row(16, TRUECOLOR, bytes(6)),
    "png-color-key": lambda: png_of_one_row(8, TRUECOLOR, bytes(6)),
    "jpeg-20-scans-of-4-components": lambda: progressive(*SQUARE, 20, components=4),
    "jpeg-cmyk": lambda: blank("CMYK", "JPEG"),
    "webp-lossless-alpha": lambda: blank("RGBA", "WEBP", lossless=True, method=0, quality=0),
    "webp-lossy-alpha": lambda: blank("RGBA", "WEBP", method=0, quality=0),
    "gif-see-through": lambda: blank("P", "GIF", transparency=0),
    "bmp-run-lengths": lambda: bmp(
        1000, 1000, 8, b"\0\x02\0\0" * 4_900_000, palette=[(0, 0, 0)] * 16, compression=1
    ),
    "avif-alpha": lambda: blank("RGBA", "AVIF", quality=10, speed=10, subsampling="4:4:4"),
    "tiff-alpha": lambda: blank("RGBA", "TIFF", compression="tiff_lzw"),
    "bmp-1-bit": lambda: bmp(
        SQUARE[0], SQUARE[1], 1, bytes(884 * SQUARE[1]), palette=[(0, 0, 0), (9, 9, 9)]
    ),
}


def files(wanted: list[str]) -> Iterator[OddFile]:
    """Yield files with what is pinned for them; nothing is for files of the disk."""
    if wanted == ["odd"]:
        yield from odd_files()
    else:
        yield from (OddFile(Path(path).name, Path(path).read_bytes(), "") for path in wanted)


def decoded_pixels(data: bytes) -> int:
    """Pixels that the decoder gets to see: none of a file that is refused before."""
    kind = format_of(data)
    try:
        if kind in CONTAINED:
            image = decode_contained(data, kind, DEFAULT_MAX_PIXELS)[0]
        else:
            image = open_image(data, kind, DEFAULT_MAX_PIXELS)[0] if kind else None
    except Exception:  # Pillow's, at hostile bytes
        return 0
    return image.width * image.height if image else 0


def children() -> tuple[float, int]:
    """Processor seconds of the decoders' processes so far, and the most bytes that one had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss


def resident_bytes(field: str) -> int:
    if not LINUX:
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure(file: OddFile) -> dict[str, object]:
    data = file.data
    pixels = decoded_pixels(data)
    if LINUX:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, started = resident_bytes("VmRSS"), time.thread_time() + children()[0]
    try:
        outcome: object = measured(preprocess(data, SPEC))
    except ImageError as error:
        outcome = type(error).__name__
    spent, peak = time.thread_time() + children()[0] - started, resident_bytes("VmHWM") - before
    if pixels and format_of(data) in CONTAINED:
        # Its process sends up to 4 bytes per pixel while it lives.
        peak = max(peak, children()[1] + 4 * pixels)
    return {
        "name": file.name,
        "expected": file.expected,
        "tolerance": file.tolerance,
        "outcome": outcome,
        "cpu_s": round(spent, 3),
        "peak_bytes": peak,
        "pixels": pixels,
        "file_bytes": len(data),
    }


if __name__ == "__main__":
    for file in files(sys.argv[1:]):
        sys.stdout.write(json.dumps(measure(file)) + "\n")
