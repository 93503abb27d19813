"""Whether a new version serves, by its figures and those of what it is compared with."""

from pathlib import Path

import numpy as np
import pytest

from model_store.comparing import compare
from model_store.manifest import Baseline, BundleContents, Comparison
from model_store.store.store import ModelStore
from training.promotion import decide, worse_than_baselines


def against(only: int, only_other: int, both: int = 90) -> Comparison:
    other = np.repeat([False, True, True], [only, only_other, both])
    return compare(4, other, np.repeat([True, False, True], [only, only_other, both]))


def simple(accuracy: float, p_value: float, name: str = "a thumbnail model") -> Baseline:
    return Baseline(name=name, accuracy=accuracy, loss=1.0, p_value=p_value)


@pytest.fixture
def contents(trained: Path) -> BundleContents:
    """What a version says that is right on 80 % of the test images."""
    manifest = ModelStore(trained / "models").bundle("stripes").manifest
    metrics = manifest.metrics.model_copy(update={"accuracy": 0.8})
    return manifest.model_copy(update={"metrics": metrics, "baselines": (), "comparison": None})


@pytest.mark.parametrize(
    ("comparison", "baselines", "promoted", "reason"),
    [
        (None, (), True, "there is no version with the same labels to compare with"),
        (against(0, 6), (), False, "it is worse (p = 0.031)"),
        (against(0, 5), (), True, "no significant difference"),
        (against(6, 0), (), True, "compared with the version that served: better"),
        (against(0, 0, 0), (), True, "no image is new to both"),
        (None, (simple(0.9, 0.01),), False, "a thumbnail model is better on the same test images"),
        (None, (simple(0.7, 0.01), simple(0.9, 0.04)), False, "90.00% against 80.00% (p = 0.04)"),
        (None, (simple(0.9, 0.06),), True, "there is no version"),
        (None, (simple(0.7, 0.01),), True, "there is no version"),
        (against(6, 0), (simple(0.9, 0.01),), False, "a thumbnail model is better"),
    ],
)
def test_it_serves_unless_it_is_significantly_worse(
    contents, comparison, baselines, promoted, reason
):
    made = contents.model_copy(update={"comparison": comparison, "baselines": baselines})

    found = decide("if-not-worse", made)

    assert found[0] == promoted
    assert reason in found[1]
    assert decide("always", made) == (True, "as asked (--promote always)")
    assert decide("never", made) == (False, "as asked (--promote never)")


def test_every_simpler_model_that_is_better_is_a_warning(contents):
    baselines = (simple(0.7, 0.01, "one"), simple(0.81, 0.9, "two"), simple(0.9, 0.01, "three"))
    warnings = worse_than_baselines(contents.model_copy(update={"baselines": baselines}))

    assert [line.split()[0] for line in warnings] == ["two", "three"]
    assert "right on 90.00% of the test images, this model on 80.00%" in warnings[1]
