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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.cpu import available_cpus
from model_store.pixels.preprocessing import preprocessing_version
from model_store.sources import Source
from model_store.spec import ImageSpec
from model_store.store.durable import exclusive
from training.data.reading import Pooled, Pooling, Reading, Record
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
        self._pooling = pooling = Pooling(spec, pool, preprocessing_version())
        self.size, self.image_bytes = pooling.size, pooling.image_bytes  # of one image
        key = hashlib.sha256(f"{spec.digest} {pooling.preprocessing}".encode()).hexdigest()
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

    def index(
        self, source: Source, advance: Advance, elsewhere: Executor | None = None
    ) -> list[Record]:
        """Preprocess what is new, in parallel, and return one record per item of `source`.

        Args:
            source: the images.
            advance: called with the number of images that became known.
            elsewhere: reads the images; None: a thread for each processor does.

        Raises:
            CacheError: the pixels do not fit on the disk, or the index is damaged.
            ClusterError: an image can be read here, and not elsewhere.
        """
        if elsewhere is not None:
            return self._index(Reading(source, elsewhere, is_elsewhere=True), advance)
        here = ThreadPoolExecutor(available_cpus())
        try:
            return self._index(Reading(source, here, is_elsewhere=False), advance)
        finally:
            here.shutdown(cancel_futures=True)

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return (len(rows), *size) uint8, a new array."""
        images = np.empty((len(rows), *self.size), np.uint8)
        for image, row in zip(images, rows, strict=True):
            read = os.preadv(self._pixels, [image.data], int(row) * self.image_bytes)
            if read != self.image_bytes:
                raise CacheError(f"{self._folder}: row {row} is cut short; delete the folder")
        return images

    def _index(self, reading: Reading, advance: Advance) -> list[Record]:
        found = list(reading.contents())
        with exclusive(self._folder / "lock"), self._explaining_the_index():
            with closing(self._connect()) as database:
                rows = database.execute("SELECT * FROM images")
                known = {record.content: record for record in map(Record._make, rows)}
            new: dict[bytes, int] = {}
            for index, content in enumerate(found):
                if isinstance(content, bytes) and content not in known:
                    new.setdefault(content, index)
            advance(len(found) - len(new))
            self._check_space(len(new))
            pooled = reading.pooled(self._pooling, new)
            for chunk in self._added(zip(new, pooled, strict=True)):
                known.update(chunk)
                advance(len(chunk))
        return [known[one] if isinstance(one, bytes) else one for one in found]

    @contextmanager
    def _explaining_the_index(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CacheError(
                f"Expected a sound index with room to grow in {self._folder}. Received: {error}. "
                "Delete that folder, or set HALFTONE_CACHE to one on a larger disk."
            ) from error

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

    def _added(self, pooled: Iterator[tuple[bytes, Pooled]]) -> Iterator[dict[bytes, Record]]:
        """Write pixels and index, some images at a time."""
        free = -(-os.fstat(self._pixels).st_size // self.image_bytes)
        rows = enumerate(pooled, free)
        written = ((content, self._written(one, row)) for row, (content, one) in rows)
        try:
            while chunk := dict(islice(written, _CHUNK)):
                # Pixels must be on the disk before the index says that they are.
                os.fsync(self._pixels)
                self._keep(chunk.values())
                yield chunk
        except OSError as error:
            raise CacheError(f"{self._folder}: cannot write pixels: {error.strerror}") from error

    def _written(self, one: Pooled, row: int) -> Record:
        if one.means is None:
            return one.record
        os.pwrite(self._pixels, one.means.data, row * self.image_bytes)
        return one.record._replace(row=row)

    def _keep(self, records: Iterable[Record]) -> None:
        with closing(self._connect()) as database, database:
            database.executemany(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [record for record in records if record.content],
            )
