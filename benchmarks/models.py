"""The bundle that is measured: one of the store's, or the notebook's network made up here."""

from pathlib import Path

from benchmarks.samples import photographs
from model_store.bundle import Bundle
from model_store.spec import ImageSpec
from model_store.store import ModelStore

SIZE = (960, 480)
LABELS = ("def_front", "ok_front")
MADE_UP = "benchmark"


def stored_or_made_up(store: ModelStore, name: str | None, scratch: Path) -> Bundle:
    """Return the current version of `name`, or a network with random weights at 960 x 480.

    What is measured does not depend on the weights, apart from parity. The made-up model stays in
    `scratch`, and is found there the next time.
    """
    if name is not None:
        return store.bundle(name)
    made_up = ModelStore(scratch)
    if made_up.current(MADE_UP) is None:
        _publish(made_up)
    return made_up.bundle(MADE_UP)


def two_versions(scratch: Path) -> ModelStore:
    """Return a store in which the made-up network has the versions 1 and 2."""
    store = ModelStore(scratch)
    while len(store.versions(MADE_UP)) < 2:
        _publish(store)
    return store


def _publish(store: ModelStore) -> None:
    from model_store.assembling import assemble
    from model_store.engines.keras import runtime

    runtime()
    from training.network import build_network

    spec = ImageSpec.for_size(*SIZE)
    network = build_network(*SIZE, len(LABELS), hidden=(512, 512), dropout=0.2, seed=0)
    with store.draft(MADE_UP) as draft:
        made = assemble(draft.folder, network, spec, LABELS, photographs(64, SIZE), [])
        draft.publish(made.untrained(LABELS, spec))
