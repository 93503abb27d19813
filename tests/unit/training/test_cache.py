from pathlib import Path

import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, write_classes

from model_store.pixels.preprocessing import preprocess
from model_store.sources import FolderSource, Item, open_labelled
from model_store.spec import ImageSpec
from training.data import cache as cache_module
from training.data.cache import PixelCache
from training.errors import CacheError


def test_rows_hold_what_preprocess_returns(tmp_path: Path, cache: PixelCache) -> None:
    source = open_labelled(write_classes(tmp_path / "data", {"a": 5, "b": 3}))
    told: list[int] = []
    records = cache.index(source, told.append)
    assert sum(told) == 8
    pixels = cache.read([record.row for record in records if record.row is not None])
    for i, image in enumerate(pixels):
        assert (image == preprocess(source.encoded(i), cache.spec)).all()


def test_the_next_run_decodes_nothing(
    tmp_path: Path, cache: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_labelled(write_classes(tmp_path / "data", {"a": 4, "b": 4}))
    first = cache.index(source, lambda _: None)

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache_module, "preprocess_with_source", fail)
    again = PixelCache(tmp_path / "cache", cache.spec)
    assert again.index(source, lambda _: None) == first


def test_only_new_content_is_added(tmp_path: Path, cache: PixelCache) -> None:
    root = write_classes(tmp_path / "data", {"a": 4})
    cache.index(open_labelled(root), lambda _: None)
    write_classes(root, {"b": 3}, seed=9)
    records = cache.index(open_labelled(root), lambda _: None)
    assert sorted(record.row for record in records if record.row is not None) == list(range(7))


def test_another_spec_has_other_rows(tmp_path: Path, cache: PixelCache) -> None:
    source = open_labelled(write_classes(tmp_path / "data", {"a": 1, "b": 1}))
    other = PixelCache(tmp_path / "cache", ImageSpec.for_size(WIDTH, HEIGHT))
    cache.index(source, lambda _: None)
    rows = other.index(source, lambda _: None)
    assert other.read([rows[0].row or 0]).shape == (1, WIDTH, HEIGHT)


def test_unreadable_files_are_records_with_a_reason(tmp_path: Path, cache: PixelCache) -> None:
    root = write_classes(tmp_path / "data", {"a": 1, "b": 1})
    (root / "a" / "broken.png").write_bytes((root / "a" / "000.png").read_bytes()[:60])
    (root / "b" / "note.txt").write_text("not an image")
    source = open_labelled(root)
    assert isinstance(source, FolderSource)
    items = [*source.items, Item("a/gone.png", "a", None)]
    gone = FolderSource(items, source.labels, [*source.files, root / "a" / "gone.png"])
    errors = [record.error for record in cache.index(gone, lambda _: None)]
    assert [error is None for error in errors] == [True, False, True, False, False]
    assert "JPEG" in str(errors[3])
    assert "No such file" in str(errors[4])


def test_pixels_that_do_not_fit_the_disk_are_refused_beforehand(
    tmp_path: Path, cache: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_labelled(write_classes(tmp_path / "data", {"a": 2, "b": 2}))
    full = type("Usage", (), {"free": 2 * HEIGHT * WIDTH})
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: full)
    with pytest.raises(CacheError, match="HALFTONE_CACHE"):
        cache.index(source, lambda _: None)


def test_an_unwritable_root_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="HALFTONE_CACHE"):
        PixelCache(tmp_path / "file", ImageSpec.for_size(2, 2))


def test_a_row_cut_short_is_never_returned(cache: PixelCache) -> None:
    with pytest.raises(CacheError, match="cut short"):
        cache.read(np.array([5]))
