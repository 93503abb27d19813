"""A data set ready to train on: readable images, labels, and which split each one is in."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from model_store.errors import NoImages
from model_store.manifest import DatasetRecord
from model_store.sources import SPLITS, Item, Source
from model_store.spec import ImageSpec
from model_store.store.seen import short_digest
from training.data.cache import PixelCache
from training.data.inputs import Inputs, cached_inputs
from training.data.missing import refuse_missing, refuse_without_train
from training.data.reading import Record, sizes_of

TEST_SHARE, VAL_SHARE = 0.15, 0.10
_SHARES = {"test": TEST_SHARE, "val": VAL_SHARE}


@dataclass(frozen=True)
class Split:
    """The images of one split, by their rows in the cache."""

    name: str
    items: Sequence[Item]
    indices: NDArray[np.int64]  # (N,) positions in the source
    rows: NDArray[np.int64]  # (N,)
    truth: NDArray[np.int64]  # (N,) indices into the labels
    digests: NDArray[np.uint64]  # (N,) of the contents, see `model_store.store.seen`
    distinct: NDArray[np.int64]  # one index below N for every set of equal pixels

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of the readable images, and what was left out."""

    labels: Sequence[str]
    cache: PixelCache
    train: Split
    val: Split
    test: Split
    record: DatasetRecord
    val_is_given: bool  # the source names its validation images
    left_out: Sequence[str]  # training images that stand in val or test too
    pixel_aspect: float  # height over width of a pixel as it was photographed: images are stretched

    def warnings(self) -> list[str]:
        """Return a sentence on what was left out, if anything was."""
        if not self.left_out:
            return []
        return [
            f"{len(self.left_out)} images stand in a held-out split too and are left out of "
            f"training: {', '.join(self.left_out[:5])}{' …' if len(self.left_out) > 5 else ''}."
        ]

    def images(self, split: Split, pool: int) -> Inputs:
        """Return the images of one of the splits as means over `pool` x `pool` pixels."""
        return cached_inputs(self.cache, split.rows, split.truth, pool)


def assemble_dataset(
    source: Source, records: Sequence[Record], cache: PixelCache, seed: int
) -> Dataset:
    """Split the readable images, by the source's own splits or by their content and the seed.

    Images with the same pixels stay on one side, and on the same one when the folder grows. Where
    the source names the splits, a training image that stands in its test split too is left out of
    training, so that the test stays honest.

    Raises:
        NoImages: nothing is readable.
        MissingClass: a label would be missing from a split.
    """
    refuse_without_train(source)
    readable = [i for i, record in enumerate(records) if record.row is not None]
    if not readable:
        raise NoImages(f"Expected readable images. Received: {len(records)} unreadable files")
    sides, left_out = _assign(source, records, readable, seed)
    refuse_missing(source, records, sides)
    index = {label: k for k, label in enumerate(source.labels)}
    splits = {
        name: _split(name, [i for i in readable if sides.get(i) == name], source, records, index)
        for name in SPLITS
    }
    record = DatasetRecord(
        fingerprint=_fingerprint(source, records, sides),
        images={name: len(split) for name, split in splits.items()},
        unreadable=len(records) - len(readable),
    )
    return Dataset(
        source.labels,
        cache,
        **splits,
        record=record,
        val_is_given=any(item.split == "val" for item in source.items),
        left_out=left_out,
        pixel_aspect=_pixel_aspect(
            cache.spec,
            [r for r, item in zip(records, source.items, strict=True) if not item.only_trains],
        ),
    )


def _pixel_aspect(spec: ImageSpec, records: Sequence[Record]) -> float:
    return median((h / spec.height) / (w / spec.width) for h, w in sizes_of(records))


def _split(
    name: str,
    chosen: Sequence[int],
    source: Source,
    records: Sequence[Record],
    index: Mapping[str, int],
) -> Split:
    items = [source.items[i] for i in chosen]
    return Split(
        name,
        items,
        np.array(chosen, np.int64),
        np.array([records[i].row for i in chosen], np.int64),
        np.array([index[str(item.label)] for item in items], np.int64),
        np.array([short_digest(records[i].content) for i in chosen], np.uint64),
        np.sort(np.unique([records[i].pixels for i in chosen], return_index=True)[1]),
    )


def _assign(
    source: Source, records: Sequence[Record], readable: Sequence[int], seed: int
) -> tuple[dict[int, str], list[str]]:
    """Return the side of each image, and the names of the training images left out."""
    more = [i for i in readable if source.items[i].only_trains]
    own = [i for i in readable if not source.items[i].only_trains]
    sides, left_out = _assign_own(source, records, own, seed)
    held_out = {records[i].pixels for i, side in sides.items() if side != "train"}
    leaked = [i for i in more if records[i].pixels in held_out]
    sides |= dict.fromkeys(set(more) - set(leaked), "train")
    return sides, [*left_out, *(source.items[i].name for i in leaked)]


def _assign_own(
    source: Source, records: Sequence[Record], readable: Sequence[int], seed: int
) -> tuple[dict[int, str], list[str]]:
    """Do so for the images of the data set itself."""
    sides = {i: split for i in readable if (split := source.items[i].split)}
    if not sides:
        return _draw(source, records, readable, _SHARES, seed), []
    of = {name: {records[i].pixels for i in sides if sides[i] == name} for name in SPLITS}
    held_out = {"train": of["val"] | of["test"], "val": of["test"], "test": set()}
    leaked = {i: source.items[i].name for i in sides if records[i].pixels in held_out[sides[i]]}
    sides = {i: split for i, split in sides.items() if i not in leaked}
    drawn = {name: share for name, share in _SHARES.items() if not of[name]}
    sides |= _draw(source, records, [i for i in sides if sides[i] == "train"], drawn, seed)
    return sides, list(leaked.values())


def _draw(
    source: Source,
    records: Sequence[Record],
    chosen: Sequence[int],
    shares: Mapping[str, float],
    seed: int,
) -> dict[int, str]:
    """Draw about `shares` of the images; what is not drawn is training.

    Every set of equal pixels draws its own lot, so that no other image moves it. Only a class that
    a split would miss altogether lends it the image whose lot comes nearest.
    """
    contents: dict[bytes | None, bytes] = {}
    labels: dict[bytes | None, str | None] = {}
    for i in chosen:
        pixels, content = records[i].pixels, records[i].content
        contents[pixels] = min(content, contents.get(pixels, content))
        labels.setdefault(pixels, source.items[i].label)
    lots = {pixels: _lot(content, seed) for pixels, content in contents.items()}
    sides = {pixels: _side(lot, shares) for pixels, lot in lots.items()}
    for label in set(labels.values()):
        members = sorted((p for p in labels if labels[p] == label), key=lots.__getitem__)
        for name in ("train", *shares):
            if not any(sides[p] == name for p in members):
                counts = Counter(sides[p] for p in members)
                spare = [p for p in members if counts[sides[p]] > 1]
                # Training has the most to lend, where it has more than one.
                spare.sort(key=lambda p: sides[p] != "train")
                if spare:
                    sides[spare[0]] = name
    return {i: sides[records[i].pixels] for i in chosen}


def _lot(content: bytes, seed: int) -> float:
    digest = hashlib.sha256(f"{seed} ".encode() + content).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _side(lot: float, shares: Mapping[str, float]) -> str:
    for name, share in shares.items():
        if lot < share:
            return name
        lot -= share
    return "train"


def _fingerprint(source: Source, records: Sequence[Record], sides: Mapping[int, str]) -> str:
    lines = sorted(
        f"{side} {source.items[i].label} {(records[i].pixels or b'').hex()}\n"
        for i, side in sides.items()
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
