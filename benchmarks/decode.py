"""From encoded bytes to pixels: `preprocess` against Pillow's open, convert, resize."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.clock import measure
from benchmarks.machine import describe
from benchmarks.report import Bars, Goal, Report, Row
from benchmarks.samples import jpegs, photographs, pngs
from model_store.preprocessing import preprocess
from model_store.spec import ImageSpec

SPEC = ImageSpec.for_size(960, 480)
_LARGE = (3000, 4000)  # 12 megapixels
_LARGE_BYTES = 3_000_000


def run(seconds: float) -> Report:
    """Measure both on files of several kinds, for a model of 960 x 480 pixels."""
    rows = [_row(name, data, seconds) for name, data in _files().items()]
    ratios = {str(row["file"]): float(row["ratio"] or 0) for row in rows}
    return Report(
        "decode",
        describe(),
        {"Milliseconds per image, to 960 × 480 grey pixels": rows},
        goals=[Goal("12-megapixel JPEG", ratios["JPEG 4000 × 3000"], 2.5, True, "×")],
        charts=[Bars("Times as fast as open, convert, resize", "×", {"×": ratios})],
    )


def _files() -> dict[str, bytes]:
    exact, small = photographs(1, (960, 480)), photographs(1, (300, 300))
    return {
        "JPEG 300 × 300": jpegs(small, 15_000)[0],
        "JPEG 480 × 960": jpegs(exact)[0],
        "PNG 480 × 960": pngs(exact)[0],
        "JPEG 4000 × 3000": jpegs(photographs(1, _LARGE), _LARGE_BYTES)[0],
    }


def _row(name: str, data: bytes, seconds: float) -> Row:
    out = np.empty((SPEC.height, SPEC.width), np.uint8)
    ours = measure(lambda: preprocess(data, SPEC, out=out), seconds)
    plain = measure(_plain(data), seconds)
    return {
        "file": name,
        "kB": len(data) / 1000,
        "open, convert, resize": plain.wall_ms,
        "preprocess": ours.wall_ms,
        "ratio": plain.wall_ms / ours.wall_ms,
    }


def _plain(data: bytes) -> Callable[[], NDArray[np.uint8]]:
    def decode() -> NDArray[np.uint8]:
        image = Image.open(io.BytesIO(data)).convert("L").resize((SPEC.width, SPEC.height))
        return np.asarray(image)

    return decode
