"""A model with two versions that answer differently, and a folder of images whose truth is known.

Version 2 is right on every image; version 1 is said to be trained on `SEEN` of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_models import TINY_LABELS, publish_tiny, tiny_network

from model_store.sources import content_sha256, open_labelled
from model_store.store.seen import short_digest
from model_store.store.store import ModelStore

IMAGES, SEEN = 60, 20


@dataclass(frozen=True)
class TwoVersions:
    """Only to be read."""

    store: ModelStore
    folder: Path
    answers: dict[str, str]  # image -> what version 1 says of it

    @property
    def wrong(self) -> set[str]:
        """Images that version 1 gets wrong."""
        return {name for name, said in self.answers.items() if said != name.partition("/")[0]}

    @property
    def seen(self) -> set[str]:
        """Images that version 1 was trained on."""
        return set(sorted(self.answers)[:SEEN])


def make_two_versions(root: Path) -> TwoVersions:
    """Write images below `root`, labelled as version 2 answers, and publish both versions."""
    images = np.random.default_rng(8).integers(0, 256, (IMAGES, 12, 10), np.uint8)
    old, new = (tiny_network(seed).predict(images, verbose=0).argmax(axis=1) for seed in (0, 1))  # type: ignore[attr-defined]  # Keras ships no types
    answers = {}
    for k, image in enumerate(images):
        name = f"{TINY_LABELS[new[k]]}/{k:03}.png"
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / "images" / name)
        answers[name] = TINY_LABELS[old[k]]
    store = ModelStore(root / "models")
    made = TwoVersions(store, root / "images", answers)
    source = open_labelled(made.folder)
    seen = [
        short_digest(content_sha256(source, i))
        for i, item in enumerate(source.items)
        if item.name in made.seen
    ]
    publish_tiny(store, "tiny", 0, seen=seen)
    publish_tiny(store, "tiny", 1)
    return made
