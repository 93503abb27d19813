"""What is measured with: images such as clients send, and the bundle that answers them."""

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model_store.bundle import Bundle
from model_store.manifest import MANIFEST_FILE, BundleContents
from model_store.spec import ImageSpec
from model_store.store.store import ModelStore

SIZE = (960, 480)
HIDDEN = (512, 512)
_LABELS = ("def_front", "ok_front")
_MADE_UP = "benchmark"
JPEG_BYTES = 75_000  # of a 960 x 480 photograph in the casting data set


def photographs(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Return (count, H, W) grey images of a lit, grainy disc on a table, each another."""
    height, width = size
    random = np.random.default_rng(seed)
    images = np.empty((count, height, width), np.uint8)
    for image in images:
        canvas = Image.new("L", (width, height), int(random.integers(150, 220)))
        radius = min(size) * random.uniform(0.3, 0.48)
        x, y = width * random.uniform(0.4, 0.6), height * random.uniform(0.4, 0.6)
        draw = ImageDraw.Draw(canvas)
        for share in np.linspace(1, 0.1, 12):
            box = (x - radius * share, y - radius * share, x + radius * share, y + radius * share)
            draw.ellipse(box, fill=int(random.integers(60, 200)))
        smooth = np.asarray(canvas.filter(ImageFilter.GaussianBlur(2)), np.float32)
        image[:] = np.clip(smooth + random.normal(0, 6, size), 0, 255)
    return images


def characters(count: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (count, H, W) drawings of digits, white on black."""
    height, width = size
    font = ImageFont.load_default(0.8 * height)
    images = np.empty((count, height, width), np.uint8)
    for number, image in enumerate(images):
        canvas = Image.new("L", (width, height))
        ImageDraw.Draw(canvas).text(
            (width / 2, height / 2), str(number % 10), fill=255, font=font, anchor="mm"
        )
        image[:] = np.asarray(canvas)
    return images


def jpegs(images: NDArray[np.uint8], wanted_bytes: int = JPEG_BYTES) -> list[bytes]:
    """Encode images as colour JPEGs, at the quality that comes nearest to `wanted_bytes`."""
    quality = min(
        range(40, 100, 3), key=lambda q: abs(len(_encode(images[0], "JPEG", q)) - wanted_bytes)
    )
    return [_encode(image, "JPEG", quality) for image in images]


def pngs(images: NDArray[np.uint8]) -> list[bytes]:
    """Encode images as greyscale PNGs."""
    return [_encode(image, "PNG", None) for image in images]


def multipart(content: bytes, boundary: str) -> bytes:
    """Return a body of one field `file`, as browsers and curl -F send it."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="image"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def notebooks_network() -> Bundle:
    """Return the notebook's network with random weights, kept in the folder for temporary files.

    What is measured does not depend on the weights, apart from parity.
    """
    store = ModelStore(Path(tempfile.gettempdir()) / "halftone-benchmark-models")
    if store.current(_MADE_UP) is None:
        _make_up(store)
    return store.bundle(_MADE_UP)


def two_versions(bundle: Bundle, root: Path) -> ModelStore:
    """Return a store at `root` that holds `bundle` as versions 1 and 2 of its name."""
    store, manifest = ModelStore(root), bundle.manifest
    contents = BundleContents(
        **{field: getattr(manifest, field) for field in BundleContents.model_fields}
    )
    for _ in range(2):
        with store.draft(manifest.name) as draft:
            shutil.copytree(bundle.folder, draft.folder, dirs_exist_ok=True)
            (draft.folder / MANIFEST_FILE).unlink()
            draft.publish(contents)
    return store


def _make_up(store: ModelStore) -> None:
    from model_store.engines.keras import runtime
    from model_store.making.assembling import assemble

    runtime()
    from training.learn.network import published_network
    from training.learn.task import Architecture

    spec = ImageSpec.for_size(*SIZE)
    network = published_network(Architecture(*SIZE, 1, len(_LABELS), HIDDEN, 0.2))
    with store.draft(_MADE_UP) as draft:
        made = assemble(draft.folder, network, spec, _LABELS, photographs(64, SIZE), [])
        draft.publish(made)


def _encode(image: NDArray[np.uint8], kind: str, quality: int | None) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(image)
    if kind == "JPEG":
        picture.convert("RGB").save(file, kind, quality=quality)
    else:
        picture.save(file, kind)
    return file.getvalue()
