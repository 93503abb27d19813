"""A data set ready to train on: readable images, labels, and which split each one is in."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import DatasetRecord
from training.cache import PixelCache, Record
from training.errors import MissingClass, NoImages
from training.sources import SPLITS, Item, Source

VAL_SHARE = 0.10
TEST_SHARE = 0.15


@dataclass(frozen=True)
class Split:
    """The images of one split, by their rows in the cache."""

    name: str
    items: Sequence[Item]
    indices: NDArray[np.int64]  # (N,) positions in the source
    rows: NDArray[np.int64]  # (N,)
    truth: NDArray[np.int64]  # (N,) indices into the labels

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class LabelledImages:
    """Images that can be read in any order, with their labels as indices."""

    truth: NDArray[np.int64]  # (N,)
    read: Callable[[NDArray[np.int64]], NDArray[np.uint8]]  # (n,) indices -> (n, H, W)

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of the readable images, and what was left out."""

    labels: Sequence[str]
    cache: PixelCache
    train: Split
    val: Split
    test: Split
    record: DatasetRecord
    left_out: Sequence[str]  # training images that stand in val or test too

    def images(self, split: Split) -> LabelledImages:
        """Return the images of one of the splits, read from the cache."""
        return LabelledImages(split.truth, partial(_read, self.cache, split.rows))


def _read(
    cache: PixelCache, rows: NDArray[np.int64], chosen: NDArray[np.int64]
) -> NDArray[np.uint8]:
    return cache.read(rows[chosen])


def assemble_dataset(
    source: Source, records: Sequence[Record], cache: PixelCache, seed: int
) -> Dataset:
    """Split the readable images, by the source's own splits or a seeded, stratified rule.

    Images with the same pixels stay on one side. Where the source names the splits, a training
    image that stands in its test split too is left out of training, so that the test stays honest.

    Raises:
        NoImages: nothing is readable.
        MissingClass: a label would be missing from a split.
    """
    readable = [i for i, record in enumerate(records) if record.row is not None]
    if not readable:
        raise NoImages(f"Expected readable images. Received: {len(records)} unreadable files")
    sides, left_out = _assign(source, records, readable, seed)
    _refuse_missing(
        source, sides, {split: [i for i in readable if sides.get(i) == split] for split in SPLITS}
    )
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
    return Dataset(source.labels, cache, **splits, record=record, left_out=left_out)


def labelled_split(
    source: Source, records: Sequence[Record], labels: Sequence[str], name: str | None
) -> Split:
    """Return the readable images of split `name` (None: of all), with indices into `labels`."""
    chosen = [
        i
        for i, record in enumerate(records)
        if record.row is not None and name in (None, source.items[i].split)
    ]
    index = {label: k for k, label in enumerate(labels)}
    return _split(name or "all", chosen, source, records, index)


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
    )


def _assign(
    source: Source, records: Sequence[Record], readable: Sequence[int], seed: int
) -> tuple[dict[int, str], list[str]]:
    """Return the side of each image, and the names of the training images left out."""
    sides = {i: split for i in readable if (split := source.items[i].split)}
    if not sides:
        return _draw(source, records, readable, {"test": TEST_SHARE, "val": VAL_SHARE}, seed), []
    held_out = {records[i].pixels for i in readable if sides[i] == "test"}
    leaked = [i for i in readable if sides[i] != "test" and records[i].pixels in held_out]
    rest = [i for i in readable if sides[i] == "train" and i not in set(leaked)]
    drawn = {
        name: share
        for name, share in (("test", TEST_SHARE), ("val", VAL_SHARE))
        if name not in sides.values()
    }
    if "val" not in drawn:
        validated = {records[i].pixels for i in readable if sides[i] == "val"}
        leaked += [i for i in rest if records[i].pixels in validated]
    gone = set(leaked)
    sides |= _draw(source, records, [i for i in rest if i not in gone], drawn, seed)
    return (
        {i: side for i, side in sides.items() if i not in gone},
        [source.items[i].name for i in leaked],
    )


def _draw(
    source: Source,
    records: Sequence[Record],
    chosen: Sequence[int],
    shares: Mapping[str, float],
    seed: int,
) -> dict[int, str]:
    """Draw `shares` of every label's distinct images; what is not drawn is training."""
    first_label: dict[bytes | None, str | None] = {}
    groups: dict[str | None, dict[bytes | None, None]] = defaultdict(dict)
    for i in chosen:
        label = first_label.setdefault(records[i].pixels, source.items[i].label)
        groups[label][records[i].pixels] = None
    side_of: dict[bytes | None, str] = {}
    random = np.random.default_rng(seed)
    for label in sorted(groups, key=str):
        keys = list(groups[label])
        order = [keys[k] for k in random.permutation(len(keys))]
        for name, share in shares.items():
            count = max(1, round(share * len(keys)))
            side_of |= dict.fromkeys(order[:count], name)
            order = order[count:]
    return {i: side_of.get(records[i].pixels, "train") for i in chosen}


def _refuse_missing(
    source: Source, sides: Mapping[int, str], members: Mapping[str, Sequence[int]]
) -> None:
    if len(source.labels) < 2:
        raise MissingClass(f"Expected at least two classes. Received: {', '.join(source.labels)}")
    for split in SPLITS:
        counts = Counter(source.items[i].label for i in members[split])
        if missing := [label for label in source.labels if not counts[label]]:
            total = Counter(source.items[i].label for i in sides)
            raise MissingClass(
                f"Expected images of every class in the {split} split. Received: none of "
                + ", ".join(f"{label!r} ({total[label]} readable in all)" for label in missing[:10])
                + ". A class needs at least three different images, one for each split."
            )


def _fingerprint(source: Source, records: Sequence[Record], sides: Mapping[int, str]) -> str:
    lines = sorted(
        f"{side} {source.items[i].label} {(records[i].pixels or b'').hex()}\n"
        for i, side in sides.items()
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
