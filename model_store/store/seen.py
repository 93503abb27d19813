"""Which images a model was trained on, as short digests of their contents.

An image is known again by its bytes; a copy that was saved anew is another image here.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.sources import Source, content_sha256

SEEN_FILE = "seen.u64"  # sorted, little-endian
_DIGEST_BYTES = 8


def short_digest(sha256: bytes) -> int:
    """Return the part of a content's SHA-256 that is kept of it, 64 bits."""
    return int.from_bytes(sha256[:_DIGEST_BYTES], "little")


def write_seen(folder: Path, digests: Iterable[NDArray[np.uint64]]) -> None:
    """Write the digests of training and validation images into a bundle in the making."""
    np.unique(np.concatenate(list(digests))).astype("<u8").tofile(folder / SEEN_FILE)


def seen_by(bundle: Bundle) -> NDArray[np.uint64] | None:
    """Return the digests of the images a model was trained on; None: the bundle does not say.

    Raises:
        CorruptBundle: the file is not what the manifest says.
    """
    if SEEN_FILE not in bundle.manifest.files:
        return None
    bundle.verify_files([SEEN_FILE])
    return np.fromfile(bundle.folder / SEEN_FILE, "<u8").astype(np.uint64)


def is_seen(bundle: Bundle, source: Source, chosen: Sequence[int]) -> NDArray[np.bool_]:
    """Tell which of the `chosen` images of `source` a model was trained on, as far as is known.

    Returns:
        (len(chosen),); all False where the bundle does not say.
    """
    seen = seen_by(bundle)
    if seen is None:
        return np.zeros(len(chosen), bool)
    digests = [short_digest(content_sha256(source, i)) for i in chosen]
    return np.isin(np.array(digests, np.uint64), seen)
