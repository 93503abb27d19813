"""The service's engine sees exactly the pixels that training saw, image by image."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_models import FakeModel, FakeStore, Start
from numpy.typing import NDArray
from PIL import Image

from model_store.sources import Source, open_labelled
from model_store.spec import ImageSpec
from training.data.cache import PixelCache

DATA = Path(os.environ.get("HALFTONE_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_castings = pytest.mark.skipif(
    not (DATA / "casting").is_dir(), reason="no casting photographs in HALFTONE_DATA"
)


class Witness(FakeModel):
    """Keeps the SHA-256 of every image that reaches its engine."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__("witness")
        self.spec = spec
        self.manifest = self.manifest.model_copy(update={"image": spec})
        self.seen: list[str] = []

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen += [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        return super().infer(images)


def trained_pixels(source: Source, cache: PixelCache) -> list[str]:
    records = cache.index(source, lambda _: None)
    assert all(record.row is not None for record in records)
    return [
        hashlib.sha256(cache.read([record.row]).tobytes()).hexdigest()
        for record in records
        if record.row is not None
    ]


async def served_pixels(
    start: Start, store: FakeStore, source: Source, spec: ImageSpec
) -> list[set[str]]:
    witness = Witness(spec)
    store.models["witness"] = {1: witness}
    store.promote("witness", 1)
    seen = []
    async with start() as client:
        for i in range(len(source.items)):
            witness.seen.clear()  # of warm-up and watchdog
            response = await client.post("/predict", content=source.content(i))
            assert response.status_code == 200, response.text
            seen.append(set(witness.seen))
    return seen


@needs_castings
@pytest.mark.parametrize(
    "every", [40, pytest.param(1, marks=pytest.mark.slow)], ids=["sample", "all"]
)
async def test_training_and_service_see_the_same_pixels(start, store, tmp_path, every):
    spec = ImageSpec.for_size(960, 480)
    whole = open_labelled(DATA / "casting")
    chosen = range(0, len(whole.items), every)
    source = replace(whole, items=[whole.items[i] for i in chosen])
    expected = trained_pixels(source, PixelCache(tmp_path / "cache", spec))
    seen = await served_pixels(start, store, source, spec)
    different = [
        item.name
        for item, pixels, reached in zip(source.items, expected, seen, strict=True)
        if pixels not in reached
    ]
    assert different == []
    assert len(seen) == len(chosen)


async def test_both_take_the_same_value_for_white(start, store, tmp_path):
    """Twelve bits in sixteen, as industrial and medical cameras store them."""
    spec = ImageSpec.for_size(12, 8, depth16_max=4095)
    deep = np.random.default_rng(1).integers(0, 4096, (12, 8), np.uint16)
    (tmp_path / "data" / "a").mkdir(parents=True)
    Image.fromarray(deep).save(tmp_path / "data" / "a" / "deep.png")
    source = open_labelled(tmp_path / "data")
    shallow = np.rint(deep * 255.0 / 4095).astype(np.uint8)

    assert trained_pixels(source, PixelCache(tmp_path / "cache", spec)) == [
        hashlib.sha256(shallow.tobytes()).hexdigest()
    ]
    ((seen,),) = [await served_pixels(start, store, source, spec)]
    assert hashlib.sha256(shallow.tobytes()).hexdigest() in seen
