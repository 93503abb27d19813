"""A quiet reporter, an empty pixel cache, and one trained model and one process for all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from class_folders import HEIGHT, WIDTH, write_classes
from fit_requests import COUNTS, request
from quiet_reporter import Quiet

from model_store.spec import ImageSpec
from model_store.store.store import ModelStore
from training.data.cache import PixelCache
from training.learn import workers as workers_module
from training.learn.task import Listener
from training.learn.workers import Workers


@pytest.fixture
def reporter() -> Quiet:
    return Quiet()


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(tmp_path / "cache", ImageSpec.for_size(HEIGHT, WIDTH))


class Now:
    """Hands on what is told to whoever listens now."""

    listener: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.listener, name)


@pytest.fixture(scope="session")
def one_process() -> Iterator[Callable[..., object]]:
    """What takes the place of `workers`: starting TensorFlow takes longer than tests train."""
    now = Now()
    with workers_module.workers(1, 1, now) as made:  # type: ignore[arg-type]  # a listener

        @contextmanager
        def lent(_: int, __: int, listener: Listener) -> Iterator[Workers]:
            now.listener = listener
            made.stop.clear()
            yield made

        yield lent


@pytest.fixture
def _quick_start(one_process: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.fit.workers", one_process)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, one_process: Callable[..., object]) -> Path:
    """A folder with images, cache and the model "stripes", version 1. Only to be read."""
    from training.fit import fit

    root = tmp_path_factory.mktemp("trained")
    write_classes(root / "data", COUNTS)
    (root / "data" / "row" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.fit.workers", one_process)
        fit(request(root / "data"), ModelStore(root / "models"), root / "cache", Quiet())
    return root
