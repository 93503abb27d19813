"""A quiet reporter and an empty pixel cache."""

from pathlib import Path

import pytest
from class_folders import HEIGHT, WIDTH

from model_store.spec import ImageSpec
from training.cache import PixelCache
from training.progress import Reporter


class Quiet(Reporter):
    """Keeps what would have been printed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")

    def ask(self, question: str) -> bool:
        self.lines.append(question)
        return False


@pytest.fixture
def reporter() -> Quiet:
    return Quiet()


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(tmp_path / "cache", ImageSpec.for_size(HEIGHT, WIDTH))
