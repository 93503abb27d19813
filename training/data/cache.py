"""Block means of preprocessed images on disk, so that no image is decoded twice.

One folder per ImageSpec and block size: `pixels.u8` holds one image per row, rounded to bytes,
`index.sqlite` says which content has which row; what cannot be read has no content, and is read
anew each time. Rows are read with positioned reads, never mapped:
resident memory does not grow with the number of images. The folder can be deleted at any time.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.cpu import available_cpus
from model_store.errors import ImageError
from model_store.pixels.preprocessing import preprocess_with_source, preprocessing_version
from model_store.sources import Source, content_sha256
from model_store.spec import ImageSpec
from model_store.store.durable import exclusive
from training.errors import CacheError

Advance = Callable[[int], None]
_CHUNK = 256
_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    content BLOB PRIMARY KEY,
    row INTEGER,
    pixels BLOB,
    format TEXT,
    mode TEXT,
    width INTEGER,
    height INTEGER,
    error TEXT
) WITHOUT ROWID
"""


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


class PixelCache:
    """The preprocessed images of one ImageSpec, as means over `pool` x `pool` pixels.

    Args:
        root: folder for the caches of all specs; made when missing.
        spec: decides the pixels; part of the key, as are the decoder's versions.
        pool: side of a block; 1: the pixels themselves. What fills no block is left out.
    """

    def __init__(self, root: Path, spec: ImageSpec, pool: int = 1) -> None:
        self.spec = spec
        self.pool = pool
        self._root = root
        key = hashlib.sha256(f"{spec.digest} {preprocessing_version()}".encode()).hexdigest()
        self._folder = root / f"{spec.height}x{spec.width}-{pool}-{key[:16]}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._pixels = os.open(self._folder / "pixels.u8", os.O_RDWR | os.O_CREAT, 0o644)
            with closing(self._connect()) as database, database:
                database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise CacheError(
                f"Expected a writable pixel cache in {root} (HALFTONE_CACHE). Received: {error}"
            ) from error

    def __reduce__(self) -> tuple[type["PixelCache"], tuple[Path, ImageSpec, int]]:
        # Another process opens the same files.
        return PixelCache, (self._root, self.spec, self.pool)

    def close(self) -> None:
        """Close the pixel file; rows can no longer be read."""
        os.close(self._pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of one image."""
        return self.spec.height // self.pool, self.spec.width // self.pool

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.size[0] * self.size[1]

    def index(self, source: Source, advance: Advance) -> list[Record]:
        """Preprocess what is new, in parallel, and return one record per item of `source`.

        Args:
            source: the images.
            advance: called with the number of images that became known.

        Raises:
            CacheError: the pixels do not fit on the disk.
        """
        with ThreadPoolExecutor(available_cpus()) as pool:
            found = list(pool.map(lambda i: _content(source, i), range(len(source.items))))
            with exclusive(self._folder / "lock"):
                with closing(self._connect()) as database:
                    rows = database.execute("SELECT * FROM images")
                    known = {record.content: record for record in map(Record._make, rows)}
                new = {c: i for i, c in enumerate(found) if isinstance(c, bytes) and c not in known}
                advance(len(found) - len(new))
                self._check_space(len(new))
                todo = list(new.items())
                for start in range(0, len(todo), _CHUNK):
                    chunk = todo[start : start + _CHUNK]
                    known.update(self._add(source, chunk, pool))
                    advance(len(chunk))
        return [known[one] if isinstance(one, bytes) else one for one in found]

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return (len(rows), *size) uint8, a new array."""
        images = np.empty((len(rows), *self.size), np.uint8)
        for image, row in zip(images, rows, strict=True):
            read = os.preadv(self._pixels, [image.data], int(row) * self.image_bytes)
            if read != self.image_bytes:
                raise CacheError(f"{self._folder}: row {row} is cut short; delete the folder")
        return images

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / "index.sqlite", timeout=60)

    def _check_space(self, images: int) -> None:
        needed, free = images * self.image_bytes, shutil.disk_usage(self._folder).free
        if needed > free:
            raise CacheError(
                f"The pixels of {images} images need {needed / 1e9:.1f} GB in "
                f"{self._folder.parent}, where {free / 1e9:.1f} GB are free. "
                "Set HALFTONE_CACHE to a folder on a larger disk."
            )

    def _add(
        self, source: Source, chunk: list[tuple[bytes, int]], pool: ThreadPoolExecutor
    ) -> dict[bytes, Record]:
        first = -(-os.fstat(self._pixels).st_size // self.image_bytes)
        jobs = [(source, content, i, first + k) for k, (content, i) in enumerate(chunk)]
        try:
            records = list(pool.map(lambda job: self._preprocess(*job), jobs))
            # Pixels must be on the disk before the index says that they are.
            os.fsync(self._pixels)
        except OSError as error:
            raise CacheError(f"{self._folder}: cannot write pixels: {error.strerror}") from error
        with closing(self._connect()) as database, database:
            database.executemany(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [record for record in records if record.content],
            )
        return {content: record for (content, _), record in zip(chunk, records, strict=True)}

    def _preprocess(self, source: Source, content: bytes, index: int, row: int) -> Record:
        try:
            pixels, info = preprocess_with_source(source.encoded(index), self.spec)
        except ImageError as error:
            return Record(content, error=str(error))
        except OSError as error:
            return _unread(error)
        os.pwrite(self._pixels, self._means(pixels).data, row * self.image_bytes)
        digest = hashlib.sha256(pixels.data).digest()
        return Record(content, row, digest, info.format, info.mode, info.width, info.height)

    def _means(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.pool == 1:
            return pixels
        rows, columns = self.size
        whole = (0, 0, columns * self.pool, rows * self.pool)
        return np.asarray(Image.fromarray(pixels).reduce(self.pool, whole))


def _content(source: Source, index: int) -> bytes | Record:
    try:
        return content_sha256(source, index)
    except OSError as error:
        return _unread(error)


def _unread(error: OSError) -> Record:
    return Record(b"", error=f"cannot be read: {error.strerror}")
