"""A reporter that prints nothing, an empty pixel cache, and one trained model for all."""

from pathlib import Path

import pytest
from class_folders import HEIGHT, WIDTH, write_classes
from fit_requests import COUNTS, request
from quiet_reporter import Quiet

from model_store.spec import ImageSpec
from model_store.store.store import ModelStore
from training.data.cache import PixelCache


@pytest.fixture
def reporter() -> Quiet:
    return Quiet()


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(tmp_path / "cache", ImageSpec.for_size(HEIGHT, WIDTH))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, cache and the model "stripes", version 1. Only to be read."""
    from training.fit import fit

    root = tmp_path_factory.mktemp("trained")
    write_classes(root / "data", COUNTS)
    (root / "data" / "row" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    fit(request(root / "data"), ModelStore(root / "models"), root / "cache", Quiet())
    return root
