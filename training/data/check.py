"""What is in a folder of labelled images, and what in it would make a model worse or a lie."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from model_store.pixels.formats import FORMATS
from model_store.sources import Item, Source
from model_store.spec import ImageSpec
from training.data.depth import Depth16, look_at_depth
from training.data.reading import Record, sizes_of
from training.data.size import Size, look_at_size

FEW_IMAGES = 20
IMBALANCE = 4
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Findings:
    """What `check` saw. Names are paths below the folder."""

    counts: dict[str, dict[str, int]]  # split ("all" where there are none) -> label -> readable
    formats: dict[str, int]
    modes: dict[str, int]
    sizes: dict[str, int]  # "width x height" -> images, commonest first
    unreadable: dict[str, str]  # name -> reason
    wrong_extensions: dict[str, str]  # name -> the format of its content
    duplicates: list[list[str]]  # same pixels, same label, same split
    contradictions: list[list[str]]  # same pixels, different labels
    leaks: list[list[str]]  # same pixels in different splits
    few: dict[str, int]  # label -> images
    imbalance: float  # largest class over smallest
    layout: list[str]  # how the folders were understood, where that is not plain
    depth16: Depth16 | None  # None: no image has 16 bits
    size: Size | None  # None: no image can be read
    asked: tuple[int, int]  # height and width of the model's images

    def as_json(self) -> dict[str, Any]:
        """Return plain values for `json.dumps`."""
        return {**asdict(self), "warnings": self.warnings()}

    def warnings(self) -> list[str]:
        """Return one sentence for each thing that is worth a look."""
        groups = (
            (self.duplicates, "Groups of identical images within a class"),
            (self.contradictions, "Groups of identical images with contradicting labels"),
            (self.leaks, "Groups of identical images in more than one split"),
        )
        sentences = list(self.layout)
        if self.unreadable:
            named = [f"{name} ({why})" for name, why in self.unreadable.items()]
            sentences.append(_listed("Files that cannot be read, and are left out", named))
        if self.depth16 is not None and (warning := self.depth16.warning()):
            sentences.append(warning)
        if self.size is not None:
            sentences += self.size.warnings(*self.asked)
        sentences += [
            _listed(what, [_first(names, " = ") for names in group])
            for group, what in groups
            if group
        ]
        if self.wrong_extensions:
            named = [f"{name} is {kind}" for name, kind in self.wrong_extensions.items()]
            sentences.append(_listed("Files that have another format than they say", named))
        if self.few:
            named = [f"{label} ({count})" for label, count in self.few.items()]
            sentences.append(_listed(f"Classes with under {FEW_IMAGES} images", named))
        if IMBALANCE <= self.imbalance < math.inf:  # empty classes are among the few
            sentences.append(
                f"The largest class has {self.imbalance:.1f} times the images of the smallest; "
                "look at the per-class figures, not at accuracy alone."
            )
        return sentences


def inspect(source: Source, records: Sequence[Record], spec: ImageSpec) -> Findings:
    """Summarise what reading every image of `source` told."""
    pairs = list(zip(source.items, records, strict=True))
    readable = [(item, record) for item, record in pairs if record.row is not None]
    same = defaultdict(list)
    for item, record in readable:
        same[record.pixels].append(item)
    groups = [group for group in same.values() if len(group) > 1]
    per_label = Counter(dict.fromkeys(source.labels, 0))
    per_label.update(str(item.label) for item, _ in readable)
    smallest = min(per_label.values(), default=0)
    return Findings(
        counts=_counts(source, readable),
        formats=dict(Counter(str(record.format) for _, record in readable).most_common()),
        modes=dict(Counter(str(record.mode) for _, record in readable).most_common()),
        sizes=dict(Counter(f"{r.width} x {r.height}" for _, r in readable).most_common()),
        unreadable={item.name: str(r.error) for item, r in pairs if r.row is None},
        wrong_extensions=dict(_wrong_extensions(readable)),
        duplicates=[
            _names(within)
            for group in groups
            for within in _by_split_and_label(group)
            if len(within) > 1
        ],
        contradictions=[_names(g) for g in groups if len({item.label for item in g}) > 1],
        leaks=[_names(g) for g in groups if len({item.split for item in g}) > 1],
        few={label: count for label, count in per_label.items() if count < FEW_IMAGES},
        imbalance=max(per_label.values(), default=0) / smallest if smallest else math.inf,
        layout=list(source.notes),
        depth16=look_at_depth(source, records, spec.depth16_max),
        size=look_at_size(sizes_of(records), spec.height, spec.width),
        asked=(spec.height, spec.width),
    )


def _counts(source: Source, readable: Sequence[tuple[Item, Record]]) -> dict[str, dict[str, int]]:
    splits = sorted({item.split or "all" for item in source.items})
    counts = {split: dict.fromkeys(source.labels, 0) for split in splits}
    for item, _ in readable:
        counts[item.split or "all"][str(item.label)] += 1
    return counts


def _wrong_extensions(readable: Sequence[tuple[Item, Record]]) -> list[tuple[str, str]]:
    return [
        (item.name, str(record.format))
        for item, record in readable
        # Arrays have no extension to be wrong.
        if not item.name.endswith("]")
        and PurePosixPath(item.name).suffix.lower() not in FORMATS[str(record.format)].extensions
    ]


def _by_split_and_label(group: Sequence[Item]) -> list[list[Item]]:
    together = defaultdict(list)
    for item in group:
        together[item.split, item.label].append(item)
    return list(together.values())


def _names(items: Sequence[Item]) -> list[str]:
    return [item.name for item in items]


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{what} ({len(names)}): {_first(names, ', ')}."


def _first(names: Sequence[str], between: str) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return between.join(names[:_NAMES_SHOWN]) + more
