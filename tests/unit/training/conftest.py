"""A reporter that prints nothing and an empty pixel cache."""

from pathlib import Path

import pytest
from class_folders import HEIGHT, WIDTH
from quiet_reporter import Quiet

from model_store.spec import ImageSpec
from training.cache import PixelCache


@pytest.fixture
def reporter() -> Quiet:
    return Quiet()


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(tmp_path / "cache", ImageSpec.for_size(HEIGHT, WIDTH))
