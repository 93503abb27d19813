"""Whether a new version serves, by its figures and those of what it is compared with."""

from collections.abc import Iterator, Sequence
from typing import Literal

from model_store.bundle import Model, open_model
from model_store.comparing import SIGNIFICANCE, sentence
from model_store.errors import ModelStoreError, StoreUnreachable, StoreUnwritable
from model_store.manifest import Baseline, BundleContents
from model_store.sources import label_of
from model_store.store.store import ModelStore

Promote = Literal["if-not-worse", "always", "never"]


def to_compare_with(store: ModelStore, name: str, labels: Sequence[str]) -> Model | None:
    """Open the version that serves, if a new one with `labels` can be compared with it.

    Raises:
        StoreUnreachable, StoreUnwritable: it could be, were it here.
    """
    try:
        bundle = store.bundle(name)
        same = [label_of(label) for label in bundle.manifest.labels] == list(labels)
        return open_model(bundle) if same else None
    except (StoreUnreachable, StoreUnwritable):
        raise
    except ModelStoreError:
        return None


def decide(promote: Promote, contents: BundleContents) -> tuple[bool, str]:
    """Return whether a version becomes the current one, and why."""
    if promote != "if-not-worse":
        return promote == "always", f"as asked (--promote {promote})"
    comparison = contents.comparison
    if comparison is not None and comparison.verdict == "worse":
        return False, f"it is {sentence(comparison)}"
    for simple, accuracy in _better_baselines(contents):
        if simple.p_value < SIGNIFICANCE:
            return False, (
                f"{simple.name} is better on the same test images: {simple.accuracy:.2%} against "
                f"{accuracy:.2%} (p = {simple.p_value:.2g})"
            )
    if comparison is None:
        return True, "there is no version with the same labels to compare with"
    return True, f"compared with the version that served: {sentence(comparison)}"


def worse_than_baselines(contents: BundleContents) -> list[str]:
    """Return a sentence for each much simpler model that is more often right on the test images."""
    return [
        f"{simple.name} is right on {simple.accuracy:.2%} of the test images, this model on "
        f"{accuracy:.2%} (p = {simple.p_value:.2g})."
        for simple, accuracy in _better_baselines(contents)
    ]


def _better_baselines(contents: BundleContents) -> Iterator[tuple[Baseline, float]]:
    """Yield each simpler model that is more often right, with the accuracy of this one."""
    accuracy = contents.metrics.accuracy if contents.metrics else 0.0
    return ((simple, accuracy) for simple in contents.baselines if simple.accuracy > accuracy)
