import errno
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, write_classes

from model_store.pixels.preprocessing import preprocess
from model_store.sources import Item, Source, open_labelled
from model_store.spec import ImageSpec
from training.data import cache as cache_module
from training.data import reading as reading_module
from training.data.cache import PixelCache
from training.errors import CacheError


def test_rows_hold_what_preprocess_returns(tmp_path, cache):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 5, "b": 3}))
    told: list[int] = []
    records = cache.index(source, told.append)
    assert sum(told) == 8
    pixels = cache.read([record.row for record in records if record.row is not None])
    for i, image in enumerate(pixels):
        assert (image == preprocess(source.encoded(i), cache.spec)).all()


def test_the_next_run_decodes_nothing(tmp_path, cache, monkeypatch):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 4, "b": 4}))
    first = cache.index(source, lambda _: None)

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(reading_module, "preprocess_with_source", fail)
    again = PixelCache(tmp_path / "cache", cache.spec)
    assert again.index(source, lambda _: None) == first


def test_only_new_content_is_added(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 4})
    cache.index(open_labelled(root), lambda _: None)
    write_classes(root, {"b": 3}, seed=9)
    records = cache.index(open_labelled(root), lambda _: None)
    assert sorted(record.row for record in records if record.row is not None) == list(range(7))


def test_unreadable_files_are_records_with_a_reason(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 1, "b": 1})
    (root / "a" / "broken.png").write_bytes((root / "a" / "000.png").read_bytes()[:60])
    (root / "b" / "note.txt").write_text("not an image")
    source = open_labelled(root)
    items = [*source.items, Item("a/gone.png", "a", None, root / "a" / "gone.png")]
    gone = Source(items, source.labels)
    errors = [record.error for record in cache.index(gone, lambda _: None)]
    assert [error is None for error in errors] == [True, False, True, False, False]
    assert "JPEG" in str(errors[3])
    assert "No such file" in str(errors[4])


class Failing:
    """A source of which one method fails for image 0 until `mended`, as a failing disk does."""

    def __init__(self, source: Source, method: str) -> None:
        self.source, self.method, self.mended = source, method, False

    def __getattr__(self, name: str) -> object:
        return getattr(self.source, name)

    def part(self, chosen: Sequence[int]) -> "Failing":
        fails = 0 in chosen and not self.mended
        return Failing(self.source.part(chosen), self.method if fails else "none")

    def content(self, index: int) -> bytes:
        return self._read("content", index)

    def encoded(self, index: int) -> bytes:
        return self._read("encoded", index)

    def _read(self, method: str, index: int) -> bytes:
        if method == self.method and index == 0 and not self.mended:
            raise OSError(errno.EIO, "Input/output error")
        return getattr(self.source, method)(index)  # type: ignore[no-any-return]  # bytes


@pytest.mark.parametrize("method", ["content", "encoded"])
def test_what_could_not_be_read_once_is_read_again(tmp_path, cache, method):
    source = Failing(open_labelled(write_classes(tmp_path / "data", {"a": 2, "b": 2})), method)
    first = cache.index(cast(Source, source), lambda _: None)
    source.mended = True
    again = cache.index(cast(Source, source), lambda _: None)

    assert first[0].error == "cannot be read: Input/output error"
    assert all(record.row is not None for record in [*first[1:], *again])
    pixels = cache.read([record.row for record in again if record.row is not None])
    assert (pixels[0] == preprocess(source.encoded(0), cache.spec)).all()


def test_a_file_of_the_same_name_elsewhere_is_another_one(tmp_path, cache):
    for seed, folder in enumerate(("one", "two")):
        write_classes(tmp_path / folder, {"a": 1, "b": 1}, seed=seed)
    one = Failing(open_labelled(tmp_path / "one"), "content")
    two = Failing(open_labelled(tmp_path / "two"), "both")
    told: list[int] = []
    records = [cache.index(cast(Source, source), told.append) for source in (one, two, one)]

    assert [found[0].error is None for found in records] == [False, True, False]
    assert sum(told) == 6


def test_pixels_that_do_not_fit_the_disk_are_refused_beforehand(tmp_path, cache, monkeypatch):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 2, "b": 2}))
    full = type("Usage", (), {"free": 2 * HEIGHT * WIDTH})
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: full)
    with pytest.raises(CacheError, match="HALFTONE_CACHE"):
        cache.index(source, lambda _: None)


def test_an_unwritable_root_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="HALFTONE_CACHE"):
        PixelCache(tmp_path / "file", ImageSpec.for_size(2, 2))


def test_a_damaged_index_is_refused_with_what_to_do(tmp_path, cache):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 2, "b": 2}))
    (index,) = tmp_path.rglob("index.sqlite")
    index.write_bytes(index.read_bytes()[:100] + bytes(8000))
    with pytest.raises(CacheError, match="Delete that folder, or set HALFTONE_CACHE"):
        cache.index(source, lambda _: None)


def test_a_row_cut_short_is_never_returned(cache):
    with pytest.raises(CacheError, match="cut short"):
        cache.read(np.array([5]))
