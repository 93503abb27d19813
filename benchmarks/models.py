"""The bundle that is measured: one of the store's, or the notebook's network made up here."""

from pathlib import Path

import numpy as np

from benchmarks.samples import photographs
from model_store.bundle import Bundle
from model_store.manifest import BundleContents
from model_store.spec import ImageSpec
from model_store.store import ModelStore

LABELS = ("def_front", "ok_front")
DIGITS = tuple("0123456789")


def stored_or_made_up(store: ModelStore, name: str | None, scratch: Path) -> Bundle:
    """Return the current version of `name`, or a network with random weights at 960 x 480.

    What is measured does not depend on the weights, apart from parity. The made-up model stays in
    `scratch`, and is found there the next time.
    """
    if name is not None:
        return store.bundle(name)
    return made_up(scratch, "benchmark", (960, 480), LABELS)


def made_up(scratch: Path, name: str, size: tuple[int, int], labels: tuple[str, ...]) -> Bundle:
    """Return the notebook's network for `size`, with random weights, from the store `scratch`."""
    store = ModelStore(scratch)
    if store.current(name) is None:
        _publish(store, name, size, labels)
        version = store.versions(name)[-1]
        store.promote(name, version)
    return store.bundle(name)


def _publish(store: ModelStore, name: str, size: tuple[int, int], labels: tuple[str, ...]) -> None:
    from model_store.assembling import assemble

    spec = ImageSpec.for_size(*size)
    with store.draft(name) as draft:
        made = assemble(
            draft.folder, _network(size, len(labels)), spec, labels, photographs(64, size), []
        )
        draft.publish(
            BundleContents(
                labels=labels,
                image=spec,
                layers=made.layers,
                training=None,
                calibration=None,
                metrics=None,
                dataset=None,
                reference=None,
                engines=made.engines,
                default_engine=made.default_engine,
                probes=made.probes,
            )
        )


def _network(size: tuple[int, int], labels: int) -> object:
    from model_store.engines.keras import runtime

    layers = (keras := runtime()[0]).layers
    # Pre-activations of unit order at any size, as training leaves them.
    first = keras.initializers.RandomNormal(stddev=2 / np.sqrt(size[0] * size[1]), seed=0)
    return keras.Sequential(
        [
            keras.Input(size, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(512, kernel_initializer=first),
            layers.ReLU(),
            layers.Dropout(0.2),
            layers.Dense(512),
            layers.ReLU(),
            layers.Dropout(0.2),
            layers.Dense(labels),
            layers.Softmax(),
        ]
    )
