"""Block means: what a network of some resolution sees."""

import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, write_classes

from model_store.pixels.pooling import block_means
from model_store.pixels.preprocessing import preprocess
from model_store.sources import open_labelled
from model_store.spec import ImageSpec
from training.data import inputs
from training.data.cache import PixelCache
from training.data.inputs import Inputs, cached_inputs

SPEC = ImageSpec.for_size(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("size", "pool"),
    [((12, 16), 1), ((12, 16), 4), ((9, 14), 2), ((10, 7), 3), ((5, 31), 5), ((8, 8), 8)],
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_block_means_are_keras_average_pooling(size, pool, kind):
    import keras

    images = np.random.default_rng(0).integers(0, 256, (5, *size)).astype(kind)
    layer = keras.layers.AveragePooling2D(pool)
    expected = keras.ops.convert_to_numpy(layer(images[..., None].astype(np.float32)))[..., 0]

    means = block_means(images, pool)

    assert means.dtype == np.float32
    np.testing.assert_allclose(means, expected, rtol=1e-5)


@pytest.mark.parametrize("pool", [1, 2, 3, 5])
def test_the_cache_holds_rounded_block_means(tmp_path, pool):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 3, "b": 3}))
    cache = PixelCache(tmp_path / "cache", SPEC, pool)
    rows = np.array([record.row for record in cache.index(source, lambda _: None)])

    read = cached_inputs(cache, rows, np.zeros(6, np.int64), pool).read(np.arange(6))

    pixels = np.stack([preprocess(source.encoded(i), SPEC) for i in range(6)])
    assert cache.size == (HEIGHT // pool, WIDTH // pool)
    # Of an odd number of pixels, Pillow rounds the mean just above a half down.
    assert np.abs(read - block_means(pixels, pool)).max() <= 0.5 + 0.5 / pool**2 + 1e-5
    assert (read == np.rint(read)).all()


def test_coarser_means_come_from_a_finer_cache(tmp_path):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 3, "b": 3}))
    finest, fine = (PixelCache(tmp_path / "cache", SPEC, pool) for pool in (1, 2))
    rows = [np.array([r.row for r in c.index(source, lambda _: None)]) for c in (finest, fine)]
    truth, chosen = np.arange(6), np.array([4, 0, 4])

    direct, indirect = (
        cached_inputs(cache, row, truth, 4).read(chosen)
        for cache, row in zip((finest, fine), rows, strict=True)
    )

    assert direct.shape == (3, HEIGHT // 4, WIDTH // 4)
    assert (direct[0] == direct[2]).all() and (direct[0] != direct[1]).any()
    np.testing.assert_allclose(indirect, direct, atol=0.5)  # of rounding


def test_a_cache_of_another_pool_has_rows_of_its_own(tmp_path):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 2, "b": 2}))
    for pool in (1, 2, 1):
        cache = PixelCache(tmp_path / "cache", SPEC, pool)
        rows = [record.row for record in cache.index(source, lambda _: None)]
        assert sorted(row for row in rows if row is not None) == [0, 1, 2, 3]
        assert cache.read([3]).shape == (1, HEIGHT // pool, WIDTH // pool)


def counting(count: int) -> Inputs:
    return Inputs(np.arange(count), np.arange(count, dtype=np.float32)[:, None, None].__getitem__)


def test_a_part_of_a_part_keeps_images_and_labels_together():
    part = counting(10).part(np.array([9, 3, 5])).part(np.array([2, 0]))

    assert part.truth.tolist() == [5, 9]
    assert part.read(np.array([1, 0, 1])).ravel().tolist() == [9, 5, 9]


@pytest.mark.parametrize("limit", [0, 10**6])
def test_images_are_the_same_in_memory_and_out_of_it(limit, monkeypatch):
    monkeypatch.setattr(inputs, "_IN_MEMORY_BYTES", limit)
    reads: list[int] = []

    def read(chosen: np.ndarray) -> np.ndarray:
        reads.append(len(chosen))
        return chosen.astype(np.float32)[:, None, None]

    held = Inputs(np.arange(700), read).in_memory()
    before = len(reads)

    assert held.read(np.array([699, 2])).ravel().tolist() == [699, 2]
    assert (len(reads) == before) == (limit > 0)
