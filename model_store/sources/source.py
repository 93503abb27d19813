"""A list of images: names, labels, splits, and the bytes behind each."""

import hashlib
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from model_store.errors import NoImages

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Item:
    """One image, before anybody has looked into it."""

    name: str  # printable path below the folder with "/", or "x_train[12]"
    label: str | None  # in Unicode's form NFC
    split: str | None  # one of SPLITS where the layout says so
    only_trains: bool = False  # never drawn into another split


class Source(Protocol):
    """A list of images and the bytes behind each. Methods may be called from several threads."""

    @property
    def items(self) -> Sequence[Item]:
        """Every image, in name order."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Every label that the layout names, in output order, with or without images."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """How the layout was understood, where that is not plain; one sentence each."""
        ...

    def is_image(self, index: int) -> bool:
        """Tell whether item `index` is meant as an image, be it broken or of another format.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def content(self, index: int) -> bytes:
        """Return the bytes that identify image `index`; they may differ from `encoded`."""
        ...

    def encoded(self, index: int) -> bytes:
        """Return image `index` as `preprocess` takes it."""
        ...

    def part(self, chosen: Sequence[int]) -> "Source":
        """Return the images at `chosen`, rising positions, alone; another process may get them."""
        ...


def judged_images(source: Source) -> tuple[str, list[int]]:
    """Return the split that a model is judged on and its images: test, or all if there is none."""
    test = [index for index, item in enumerate(source.items) if item.split == "test"]
    return ("test", test) if test else ("all", list(range(len(source.items))))


def image_indices(source: Source) -> list[int]:
    """Return which items are meant as images.

    Raises:
        NoImages: none is.
        OSError: one cannot be read.
    """
    images = [index for index in range(len(source.items)) if source.is_image(index)]
    if not images:
        raise NoImages(f"Expected images. Received: {len(source.items)} other files")
    return images


def content_sha256(source: Source, index: int) -> bytes:
    """Return what identifies the content of image `index`, 32 bytes.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(source.content(index)).digest()


def natural_key(name: str) -> list[tuple[int, int]]:
    """Return a sort key under which `img2` comes before `img10`."""
    parts = re.findall(r"[0-9]+|[^0-9]", name)
    return [(ord("0"), int(part)) if part[0] in string.digits else (ord(part), 0) for part in parts]
