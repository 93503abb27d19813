"""Why a class has no image in a split: one sentence for each cause, with what to do."""

from collections.abc import Mapping, Sequence

from model_store.sources import SPLITS, Source
from training.data.reading import Record
from training.errors import MissingClass

_CLASSES_SHOWN = 5


def refuse_without_train(source: Source) -> None:
    """Refuse a source that names splits, and none to train on.

    Raises:
        MissingClass: as it says.
    """
    given = sorted({item.split for item in source.items if item.split})
    if given and "train" not in given:
        raise MissingClass(
            f"Expected a split to train on. Received: {', '.join(given)} alone. Add a folder "
            f"train; or give the folder {given[0]} itself, and splits are drawn from it."
        )


def refuse_missing(source: Source, records: Sequence[Record], sides: Mapping[int, str]) -> None:
    """Refuse a data set in which a split lacks a class.

    Args:
        source: the images.
        records: one per item, what reading it told.
        sides: position in the source -> split; images that are left out are not in it.

    Raises:
        MissingClass: as it says, with the cause for each class.
    """
    if len(source.labels) < 2:
        raise MissingClass(
            f"Expected at least two classes. Received: {', '.join(map(repr, source.labels))}"
        )
    for split in SPLITS:
        there = {source.items[i].label for i, side in sides.items() if side == split}
        if missing := [label for label in source.labels if label not in there]:
            shown = missing[:_CLASSES_SHOWN]
            more = f" {len(missing) - len(shown)} more are missing." if missing != shown else ""
            raise MissingClass(
                f"Expected images of every class in the {split} split. Received: none of "
                f"{', '.join(map(repr, shown))}. "
                + " ".join(_cause(label, split, source, records, sides) for label in shown)
                + more
            )


def _cause(
    label: str, split: str, source: Source, records: Sequence[Record], sides: Mapping[int, str]
) -> str:
    files = [i for i, item in enumerate(source.items) if item.label == label]
    if not files:
        return f"The folder of {label!r} is empty: put images into it, or remove it."
    given = {item.split for item in source.items if item.split}
    # What is not given is drawn from train, or from all.
    home = split if split in given else "train" if "train" in given else None
    here = [i for i in files if source.items[i].split == home]
    if not here:
        others = ", ".join(sorted({str(source.items[i].split) for i in files}))
        return (
            f"{label!r} has images in {others} and none in {home}: add some, or remove the class "
            "from every split."
        )
    readable = [i for i in here if records[i].row is not None]
    if not readable:
        return (
            f"None of the {len(here)} files of {label!r} can be read as an image: mend them, or "
            "move the folder away."
        )
    kept = [i for i in readable if i in sides]
    if not kept:
        return (
            f"All {len(readable)} images of {label!r} in {home} stand in a held-out split too: add "
            "others, or remove the copies."
        )
    drawn = {*SPLITS} - (given - {"train"})
    return _too_few(label, {records[i].pixels for i in kept}, len(kept), len(drawn))


def _too_few(label: str, different: set[bytes | None], images: int, needed: int) -> str:
    """Say why the readable images of a class are not enough for `needed` splits."""
    if len(different) >= needed:
        return (
            f"Images of {label!r} are identical to images of other classes: decide for each which "
            "class it is of."
        )
    if images >= needed:
        return (
            f"The {images} images of {label!r} have only {len(different)} different contents "
            "once they are of the model's size: are they copies, or is --height or --width too "
            "small?"
        )
    return (
        f"{label!r} needs at least {needed} different images, one for each split, and has "
        f"{len(different)}: add some."
    )
