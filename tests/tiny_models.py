"""A small network of the notebook's kind, with random weights, to publish in tests."""

import numpy as np

from model_store.spec import ImageSpec
from model_store.store import ModelStore

TINY_LABELS = ("circle", "cross", "square")
TINY_SPEC = ImageSpec.for_size(height=12, width=10)


def publish_tiny(store: ModelStore, name: str, seed: int) -> None:
    """Build and publish the notebook's kind of network with random weights."""
    from model_store.assembling import assemble

    images = np.random.default_rng(seed).integers(0, 256, (40, 12, 10), np.uint8)
    with store.draft(name) as draft:
        made = assemble(draft.folder, tiny_network(seed), TINY_SPEC, TINY_LABELS, images, [])
        draft.publish(made.untrained(TINY_LABELS, TINY_SPEC))


def tiny_network(seed: int) -> object:
    """Return the published form of the notebook's network, small, with weights that matter."""
    from model_store.engines.keras import runtime

    keras = runtime()[0]
    layers = keras.layers

    def dense(units: int, offset: int) -> object:
        initializer = keras.initializers.RandomNormal(stddev=0.5, seed=10 * seed + offset)
        return layers.Dense(units, kernel_initializer=initializer)

    return keras.Sequential(
        [
            keras.Input((12, 10), dtype="uint8"),
            layers.Rescaling(1 / 255),
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
