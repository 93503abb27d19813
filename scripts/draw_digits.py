"""Put ten examples into the bundle of the shipped digits model: digits drawn here, nobody's data.

Everything else in the bundle stays as it is, and so does its number: it is a part of this
repository, made again. Nothing else may change a version that was published. What keys its manifest
lacks it goes on lacking: it is also the bundle of before that the tests open.

python -m scripts.draw_digits
"""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from model_store.bundle import pixels_sha256, read_bundle, record_files
from model_store.engines import open_engine
from model_store.making.probes import FOLDER
from model_store.manifest import MANIFEST_FILE, Manifest, Probe
from model_store.manifest_file import encode_document
from model_store.pixels.preprocessing import preprocess
from model_store.verification import verify

BUNDLE = Path(__file__).parents[1] / "models" / "digits" / "1"
SIDE = 240  # pixels of an example
PAPER, INK = (252, 251, 246), (34, 40, 78)
SHARPER = 4  # times as large while it is drawn, for smooth edges

# Where the pen goes for each digit, x,y in percent of a box; it curves from point to point, and is
# lifted at a slash.
STROKES = (
    "50,8 33,20 26,50 33,80 50,92 67,80 74,50 67,20 50,8 40,12",
    "46,16 52,8 / 52,8 52,92",
    "28,30 42,10 66,16 66,42 27,88 / 27,88 50,84 78,88",
    "28,16 56,8 70,26 46,46 / 46,46 74,62 62,88 26,84",
    "36,8 26,54 / 26,54 76,50 / 68,12 60,92",
    "70,10 36,12 / 36,12 32,44 / 32,44 62,42 72,68 52,90 26,84",
    "64,8 36,36 28,70 46,92 68,76 58,54 32,66",
    "24,14 50,12 76,12 / 76,12 56,46 42,92",
    "66,16 38,12 36,36 62,58 66,84 42,92 32,72 56,46 68,26 62,14",
    "68,24 48,10 32,28 42,46 66,36 / 69,20 66,50 56,92",
)


def draw(digit: int) -> bytes:
    """Return a PNG of a digit, with another pen and another slant than the one before it."""
    generator = np.random.default_rng(digit)
    width = SIDE * SHARPER * generator.uniform(0.045, 0.075)
    slant = generator.uniform(-0.05, 0.2)
    size = generator.uniform(0.62, 0.8)
    offset = (1 - size) / 2 + generator.uniform(-0.06, 0.06, 2)
    image = Image.new("RGB", (SIDE * SHARPER,) * 2, PAPER)
    pen = ImageDraw.Draw(image)
    for stroke in STROKES[digit].split(" / "):
        points = _curve(np.array([point.split(",") for point in stroke.split()], np.float64) / 100)
        points[:, 0] += slant * (0.5 - points[:, 1])
        for x, y in (points * size + offset) * SIDE * SHARPER:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=INK)
    buffer = BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).quantize(16).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (many, 2) points on a Catmull-Rom spline through (n, 2)."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, end, after = (ends[k : k + len(points) - 1, None] for k in range(4))
    t = np.linspace(0, 1, 120)[None, :, None]
    curve = 2 * start + (end - before) * t + (2 * before - 5 * start + 4 * end - after) * t**2
    curve += (3 * start - before - 3 * end + after) * t**3
    return np.asarray(curve / 2).reshape(-1, 2)


def add_examples(folder: Path) -> None:
    """Put the ten digits in the place of what examples the bundle in `folder` has."""
    manifest = read_bundle(folder).manifest
    document = json.loads((folder / MANIFEST_FILE).read_bytes())
    del document["manifest_sha256"]
    kept = [probe for probe in document["probes"] if probe.get("drawn", True)]
    paths = [f"{FOLDER}/{len(kept) + digit:02d}.png" for digit in range(len(STROKES))]
    for digit, path in enumerate(paths):
        (folder / path).write_bytes(draw(digit))
    document["probes"] = [*kept, *_examples(folder, manifest, paths)]
    document["files"] = {path: record.model_dump() for path, record in record_files(folder).items()}
    (folder / MANIFEST_FILE).write_bytes(encode_document(document))
    verify(read_bundle(folder))


def _examples(folder: Path, manifest: Manifest, paths: list[str]) -> Iterator[dict[str, Any]]:
    pixels = np.stack([preprocess((folder / path).read_bytes(), manifest.image) for path in paths])
    engine = open_engine("keras", folder, manifest, threads=1, shared=False)
    for path, image, row in zip(paths, pixels, engine.predict(pixels), strict=True):
        example = Probe(
            file=path,
            pixels_sha256=pixels_sha256(image),
            probabilities=tuple(float(p) for p in row),
            drawn=False,
        )
        yield example.model_dump(mode="json")
    engine.close()


if __name__ == "__main__":
    add_examples(BUNDLE)
