"""More images to train on, beside a data set: corrected ones that a service kept, as a rule.

They only ever train. Validation and test are drawn from the data set alone, so that versions
with and without them are compared on the same images.
"""

from dataclasses import replace
from pathlib import Path

from model_store.errors import InvalidLayout, NoImages
from model_store.sources import Source, open_labelled
from model_store.store.staging import LOCK_FILE


def with_more(base: Source, folder: Path, name: str) -> Source:
    """Return `base` with the images of class folders added, which only train.

    Args:
        base: the data set.
        folder: holds class folders; or a folder `name` with them, as HALFTONE_FEEDBACK does.
        name: of the model.

    Raises:
        InvalidLayout: it holds no class folders, or others than those of `base`.
        NoImages: they are empty; or it is that of HALFTONE_FEEDBACK, with other models alone.
    """
    has_own = (folder / name).is_dir()
    if not has_own and (folder / LOCK_FILE).is_file():  # else models would be taken for classes
        raise NoImages(
            f"Expected images for {name} in {folder}, where a service keeps feedback. Received: "
            "none so far. Leave --also out"
        )
    also = open_labelled(folder / name if has_own else folder)
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
    return Source([*base.items, *more], base.labels, [*base.notes, *also.notes])
