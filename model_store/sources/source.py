"""A list of images: names, labels, splits, and the bytes behind each."""

import hashlib
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.errors import NoImages
from model_store.pixels.preprocessing import encode_png
from model_store.sources.files import is_image_file, read_file

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Item:
    """One image, before anybody has looked into it."""

    name: str  # printable path below the folder with "/", or "x_train[12]"
    label: str | None  # in Unicode's form NFC
    split: str | None  # one of SPLITS where the layout says so
    data: Path | NDArray[np.uint8] = field(repr=False, compare=False)  # its file, or its (H, W)
    only_trains: bool = False  # never drawn into another split


@dataclass(frozen=True)
class Source:
    """A list of images and the bytes behind each. Methods may be called from several threads.

    Attributes:
        items: every image, in name order.
        labels: every label that the layout names, in output order, with or without images.
        notes: how the layout was understood, where that is not plain; one sentence each.
    """

    items: Sequence[Item]
    labels: Sequence[str] = ()
    notes: Sequence[str] = ()

    def is_image(self, index: int) -> bool:
        """Tell whether item `index` is meant as an image, be it broken or of another format.

        Raises:
            OSError: it cannot be read.
        """
        data = self.items[index].data
        return not isinstance(data, Path) or is_image_file(data)

    def content(self, index: int) -> bytes:
        """Return the bytes that identify image `index`; they may differ from `encoded`."""
        data = self.items[index].data
        if isinstance(data, Path):
            return read_file(data)
        return f"array {data.shape}\n".encode() + data.tobytes()  # costs less than an encoding

    def encoded(self, index: int) -> bytes:
        """Return image `index` as `preprocess` takes it; of an array, that is a lossless PNG."""
        data = self.items[index].data
        return read_file(data) if isinstance(data, Path) else encode_png(data)

    def part(self, chosen: Sequence[int]) -> "Source":
        """Return the images at `chosen` alone; another process may get them."""
        return Source([self.items[i] for i in chosen])


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
