"""More images to train on, beside a data set: corrected ones that a service kept, as a rule.

They only ever train. Validation and test are drawn from the data set alone, so that versions
with and without them are compared on the same images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model_store.errors import InvalidLayout
from model_store.sources import Item, Source, open_labelled


@dataclass(frozen=True)
class Joined:
    """The images of a source, and after them those of another, as its items say."""

    base: Source
    also: Source
    items: Sequence[Item]
    labels: Sequence[str]
    notes: Sequence[str]

    def is_image(self, index: int) -> bool:
        """Do what the image's own source does."""
        source, own = self._find(index)
        return source.is_image(own)

    def content(self, index: int) -> bytes:
        """Do what the image's own source does."""
        source, own = self._find(index)
        return source.content(own)

    def encoded(self, index: int) -> bytes:
        """Do what the image's own source does."""
        source, own = self._find(index)
        return source.encoded(own)

    def part(self, chosen: Sequence[int]) -> "Joined":
        """Do what the images' own sources do."""
        count = len(self.base.items)
        return Joined(
            self.base.part([i for i in chosen if i < count]),
            self.also.part([i - count for i in chosen if i >= count]),
            [self.items[i] for i in chosen],
            (),
            (),
        )

    def _find(self, index: int) -> tuple[Source, int]:
        count = len(self.base.items)
        return (self.base, index) if index < count else (self.also, index - count)


def with_more(base: Source, folder: Path, name: str) -> Joined:
    """Return `base` with the images of class folders added, which only train.

    Args:
        base: the data set.
        folder: holds class folders; or a folder `name` with them, as HALFTONE_FEEDBACK does.
        name: of the model.

    Raises:
        InvalidLayout: it holds no class folders, or others than those of `base`.
        NoImages: they are empty.
    """
    also = open_labelled(folder / name if (folder / name).is_dir() else folder)
    used = {str(item.label) for item in also.items}
    if unknown := sorted(used - set(base.labels)):
        raise InvalidLayout(
            f"Expected images of {', '.join(base.labels)} in {folder}. "
            f"Received: the classes {', '.join(unknown[:10])} too"
        )
    split = "train" if any(item.split for item in base.items) else None
    more = [
        replace(item, name=f"{folder.name}/{item.name}", split=split, only_trains=True)
        for item in also.items
    ]
    notes = [*base.notes, *also.notes]
    return Joined(base, also, [*base.items, *more], base.labels, notes)
