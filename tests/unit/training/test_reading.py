"""Images read by an executor: here, in other processes, and where something is missing."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, write_classes

from model_store.pixels.preprocessing import preprocessing_version
from model_store.sources import Source, open_labelled
from model_store.spec import ImageSpec
from training.data.also import with_more
from training.data.cache import PixelCache
from training.data.reading import Pooling, Reading, in_turn
from training.errors import ClusterError

SPEC = ImageSpec.for_size(HEIGHT, WIDTH)


def folder(tmp_path: Path) -> Source:
    root = write_classes(tmp_path / "data", {"a": 45, "b": 40})
    (root / "a" / "note.txt").write_text("not an image")
    (root / "b" / "copy.png").write_bytes((root / "b" / "000.png").read_bytes())
    return open_labelled(root)


def joined(tmp_path: Path) -> Source:
    more = write_classes(tmp_path / "more", {"a": 40}, seed=1)
    return with_more(folder(tmp_path), more, "name")


def arrays(tmp_path: Path) -> Source:
    images = np.random.default_rng(0).integers(0, 256, (70, HEIGHT, WIDTH), np.uint8)
    labels = np.arange(70) % 2
    named = {"x_train": images[:40], "y_train": labels[:40]}
    np.savez(tmp_path / "x.npz", **named, x_test=images[40:], y_test=labels[40:])
    return open_labelled(tmp_path / "x.npz")


@pytest.fixture(scope="module")
def processes() -> Any:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as executor:
        yield executor


@pytest.mark.parametrize("made", [folder, joined, arrays])
@pytest.mark.parametrize("pool", [1, 2])
def test_other_processes_leave_the_same_cache(tmp_path, processes, made, pool):
    source = made(tmp_path)
    here = PixelCache(tmp_path / "here", SPEC, pool)
    there = PixelCache(tmp_path / "there", SPEC, pool)
    told: list[int] = []

    records = here.index(source, lambda _: None)

    assert there.index(source, told.append, processes) == records
    assert sum(told) == len(source.items)
    pixels = [next((tmp_path / name).rglob("pixels.u8")) for name in ("here", "there")]
    assert pixels[0].read_bytes() == pixels[1].read_bytes()


class Patient(Executor):
    """Computes when it is asked for a result, and counts what waits meanwhile."""

    def __init__(self) -> None:
        self.waiting = self.most = self.cancelled = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> "Future[Any]":
        patient = self

        class Later(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                del timeout
                patient.waiting -= 1
                return function(*arguments)

            def cancel(self) -> bool:
                patient.cancelled += 1
                return True

        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return Later()


def test_results_come_in_order_and_only_so_many_wait():
    executor = Patient()

    assert list(in_turn(executor, lambda n: n * n, iter(range(20)), 4)) == [
        n * n for n in range(20)
    ]
    assert executor.most == 4


def test_who_leaves_early_cancels_what_waits():
    executor = Patient()
    results = in_turn(executor, abs, iter(range(20)), 4)
    next(results)
    results.close()  # type: ignore[attr-defined]  # a generator

    assert executor.cancelled == 3


def test_large_images_are_under_way_in_small_numbers(tmp_path):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 20, "b": 20}))
    executor = Patient()
    pooling = Pooling(ImageSpec.for_size(8000, 4000), 1, preprocessing_version())
    reading = Reading(source, executor, is_elsewhere=False)
    known = {bytes([k]): k for k in range(40)}
    next(reading.pooled(pooling, known))

    assert executor.most * pooling.image_bytes <= 256_000_000


class Elsewhere:
    """A source whose files no other machine sees."""

    def __init__(self, source: Source, *, also_contents: bool) -> None:
        self._source, self._also_contents = source, also_contents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def part(self, chosen: Sequence[int]) -> Any:
        part: Any = self._source.part(chosen)

        class Missing:
            items = part.items

            def content(self, index: int) -> bytes:
                return self.encoded(index) if outer._also_contents else part.content(index)

            def encoded(self, index: int) -> bytes:
                del index
                raise FileNotFoundError(2, "No such file or directory")

        outer = self
        return Missing()


@pytest.mark.parametrize("also_contents", [True, False])
def test_a_node_without_the_folder_is_an_error_and_no_unreadable_image(
    tmp_path, cache, *, also_contents
):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 2, "b": 2}))
    far = cast(Source, Elsewhere(source, also_contents=also_contents))
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ClusterError, match=r"a/000\.png can be read on this machine"):
            cache.index(far, lambda _: None, executor)
        assert cache.index(source, lambda _: None, executor)[0].row is not None


def test_pixels_by_other_libraries_are_refused(tmp_path):
    source = open_labelled(write_classes(tmp_path / "data", {"a": 1, "b": 1}))
    with pytest.raises(ClusterError, match="pil-0"):
        Pooling(SPEC, 1, "pil-0")((source, [b"", b""]))
