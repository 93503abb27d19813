"""The training loop on images in memory."""

from pathlib import Path

import numpy as np
import pytest
from class_folders import striped

from training import trainer
from training.dataset import LabelledImages
from training.listening import Listener
from training.recipe import Recipe
from training.runs import TrainedRun

SILENT = Listener(lambda _: None, lambda _: None)


def stripes(count: int, seed: int) -> LabelledImages:
    random = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    pixels = np.stack([striped(int(label), random) for label in truth])
    return LabelledImages(truth, lambda chosen: pixels[chosen])


def trained(folder: Path, *, ema_momentum: float | None = None) -> TrainedRun:
    recipe = Recipe((16,), 0.0, "none", epochs=6, batch_size=32, seed=0, ema_momentum=ema_momentum)
    return trainer.train(stripes(96, seed=1), stripes(30, seed=2), 3, recipe, folder, SILENT)


@pytest.mark.parametrize("ema_momentum", [None, 0.9])
def test_a_compiled_update_changes_the_weights_as_a_plain_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema_momentum: float | None
) -> None:
    runs = []
    for compiled in (False, True):
        monkeypatch.setattr(trainer, "pays_to_compile", lambda _, answer=compiled: answer)
        runs.append(trained(tmp_path / str(compiled), ema_momentum=ema_momentum))
    plain, fused = runs

    assert plain.history["val_loss"][-1] < plain.history["val_loss"][0]
    assert fused.history["val_loss"] == pytest.approx(plain.history["val_loss"], rel=1e-3)
    for one, other in zip(plain.weights(), fused.weights(), strict=True):
        assert np.allclose(one, other, atol=1e-4)
