"""A small network of the notebook's kind, with random weights, to publish in tests."""

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from model_store.spec import ImageSpec
from model_store.store.store import ModelStore

if TYPE_CHECKING:
    from model_store.manifest import BundleContents

TINY_LABELS = ("circle", "cross", "square")
TINY_SPEC = ImageSpec.for_size(height=12, width=10)


def publish_tiny(
    store: ModelStore, name: str, seed: int, *, pool: int = 1, seen: Sequence[int] | None = None
) -> None:
    """Build and publish the notebook's kind of network with random weights.

    Args:
        store: where to.
        name: of the model.
        seed: of the weights.
        pool: side of the blocks whose means it sees.
        seen: short digests of the images that it is said to be trained on; None: it is not said.
    """
    from model_store.store.seen import write_seen

    with store.draft(name) as draft:
        made, folder = _assembled(seed, pool)
        shutil.copytree(folder.name, draft.folder, dirs_exist_ok=True)
        if seen is not None:
            write_seen(draft.folder, [np.array(seen, np.uint64)])
        draft.publish(made)


@cache
def _assembled(seed: int, pool: int) -> "tuple[BundleContents, TemporaryDirectory[str]]":
    """Exporting takes seconds, so each network is exported once."""
    from model_store.making.assembling import assemble

    folder = TemporaryDirectory()
    images = np.random.default_rng(seed).integers(0, 256, (40, 12, 10), np.uint8)
    network = tiny_network(seed, pool)
    return assemble(Path(folder.name), network, TINY_SPEC, TINY_LABELS, images, []), folder


def tiny_network(seed: int, pool: int = 1, size: tuple[int, int] = (12, 10)) -> object:
    """Return the published form of the notebook's network, small, with weights that matter."""
    from model_store.engines.keras import runtime

    keras = runtime()[0]
    layers = keras.layers

    def dense(units: int, offset: int) -> object:
        initializer = keras.initializers.RandomNormal(stddev=0.5, seed=10 * seed + offset)
        return layers.Dense(units, kernel_initializer=initializer)

    return keras.Sequential(
        [
            keras.Input(size, dtype="uint8"),
            layers.Rescaling(1 / 255),
            *([layers.Reshape((*size, 1)), layers.AveragePooling2D(pool)] if pool > 1 else ()),
            layers.Flatten(),
            dense(16, 1),
            layers.ReLU(),
            layers.Dropout(0.2),
            dense(16, 2),
            layers.ReLU(),
            layers.Dropout(0.2),
            dense(len(TINY_LABELS), 3),
            layers.Softmax(),
        ]
    )
