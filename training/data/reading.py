"""What is read of images, a few at a time, here or in another process, on another machine too."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.errors import ImageError
from model_store.pixels.preprocessing import preprocess_with_source, preprocessing_version
from model_store.sources import Source, content_sha256
from model_store.spec import ImageSpec
from training.errors import ClusterError

T = TypeVar("T")
R = TypeVar("R")

# Of images that another process reads at once, and of those that are under way at a time.
_TOGETHER, _BYTES_TOGETHER = 32, 32_000_000
_MOST_WAITING, _BYTES_WAITING = 1_000, 256_000_000


class Record(NamedTuple):
    """What is known of one image's content; either `row` or `error` is set."""

    content: bytes  # sha256 of the source's content; empty: it could not be read
    row: int | None = None
    pixels: bytes | None = None  # sha256 of all the preprocessed pixels
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None


def sizes_of(records: Iterable[Record]) -> list[tuple[int, int]]:
    """Return (height, width) of each readable image, upright."""
    return [(r.height, r.width) for r in records if r.height and r.width]


class Pooled(NamedTuple):
    """One image's pixels as means over blocks, and what is known of it but its row."""

    record: Record
    means: NDArray[np.uint8] | None  # (rows, columns); None: it could not be read


@dataclass(frozen=True, slots=True)
class Pooling:
    """How images become block means; called with some of them.

    `preprocessing` is `preprocessing_version` where the pixels will be kept: others, from libraries
    of other versions, do not belong there.
    """

    spec: ImageSpec
    pool: int
    preprocessing: str

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of what one image becomes; what fills no block is left out."""
        return self.spec.height // self.pool, self.spec.width // self.pool

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.size[0] * self.size[1]

    def __call__(self, images: tuple[Source, Sequence[bytes]]) -> list[Pooled]:
        """Return what each of the images becomes, given with the digests of their contents.

        Raises:
            ClusterError: this process has other libraries.
        """
        if preprocessing_version() != self.preprocessing:
            raise ClusterError(
                f"Expected nodes that make pixels with {self.preprocessing}. "
                f"Received: {preprocessing_version()}"
            )
        source, contents = images
        return [self._pooled(source, k, content) for k, content in enumerate(contents)]

    def _pooled(self, source: Source, index: int, content: bytes) -> Pooled:
        try:
            pixels, info = preprocess_with_source(source.encoded(index), self.spec)
        except ImageError as error:
            return Pooled(Record(content, error=str(error)), None)
        except OSError as error:
            return Pooled(_unread(error), None)
        digest = hashlib.sha256(pixels.data).digest()
        record = Record(content, None, digest, info.format, info.mode, info.width, info.height)
        return Pooled(record, self._means(pixels))

    def _means(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.pool == 1:
            return pixels
        rows, columns = self.size
        whole = (0, 0, columns * self.pool, rows * self.pool)
        return np.asarray(Image.fromarray(pixels).reduce(self.pool, whole))


class Reading:
    """The images of a source, read by an executor, some at a time.

    Args:
        source: the images.
        executor: runs what reads.
        is_elsewhere: on other machines, which may lack what is here.
    """

    def __init__(self, source: Source, executor: Executor, *, is_elsewhere: bool) -> None:
        self._source, self._executor, self._is_elsewhere = source, executor, is_elsewhere

    def contents(self) -> Iterator[bytes | Record]:
        """Yield the digest of each image's content, or a record of why it cannot be read.

        Raises:
            ClusterError: an image can be read here, and not elsewhere.
        """
        everything = range(len(self._source.items))
        parts = (self._source.part(few) for few in _few(everything, _TOGETHER))
        found = chain.from_iterable(in_turn(self._executor, _contents, parts, _MOST_WAITING))
        for index, one in enumerate(found):
            if isinstance(one, Record):
                self._require_unreadable_here(index)
            yield one

    def pooled(self, pooling: Pooling, contents: Mapping[bytes, int]) -> Iterator[Pooled]:
        """Yield what the images become whose digests and positions are given.

        Raises:
            ClusterError: an image can be read here, and not elsewhere; or with other libraries.
        """
        together = max(1, min(_TOGETHER, _BYTES_TOGETHER // pooling.image_bytes))
        jobs: Iterator[tuple[Source, Sequence[bytes]]] = (
            (self._source.part([index for _, index in few]), [content for content, _ in few])
            for few in _few(list(contents.items()), together)
        )
        waiting = max(1, min(_MOST_WAITING, _BYTES_WAITING // (together * pooling.image_bytes)))
        answers: Iterator[list[Pooled]] = in_turn(self._executor, pooling.__call__, jobs, waiting)
        found = chain.from_iterable(answers)
        for index, one in zip(contents.values(), found, strict=True):
            if not one.record.content:
                self._require_unreadable_here(index)
            yield one

    def _require_unreadable_here(self, index: int) -> None:
        if self._is_elsewhere and isinstance(_content(self._source, index), bytes):
            raise ClusterError(
                f"{self._source.items[index].name} can be read on this machine, and not on a node "
                "of the cluster: mount the folder on every node, at the same path."
            )


def in_turn(
    executor: Executor, function: Callable[[T], R], jobs: Iterable[T], most: int
) -> Iterator[R]:
    """Yield what `function` makes of each job, in order; at most `most` are under way at a time."""
    waiting: deque[Future[R]] = deque()
    try:
        for job in jobs:
            waiting.append(executor.submit(function, job))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _few(everything: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    return (everything[start : start + count] for start in range(0, len(everything), count))


def _contents(source: Source) -> list[bytes | Record]:
    return [_content(source, index) for index in range(len(source.items))]


def _content(source: Source, index: int) -> bytes | Record:
    try:
        return content_sha256(source, index)
    except OSError as error:
        return _unread(error)


def _unread(error: OSError) -> Record:
    return Record(b"", error=f"cannot be read: {error.strerror}")
