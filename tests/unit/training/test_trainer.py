"""The training loop, in this process, on images in memory."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, striped

from training.data.inputs import Inputs
from training.errors import NotLearning, TrainingInterrupted
from training.learn import recipe as recipe_module
from training.learn import trainer
from training.learn.network import dense_weights, training_network
from training.learn.recipe import Recipe
from training.learn.task import Architecture, EpochEnd, Learned, Listener, Task

SILENT = Listener()
STEPS = recipe_module._STEPS_PER_CALL


def stripes(count: int, seed: int) -> Inputs:
    random = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    pixels = np.stack([striped(int(label), random) for label in truth]).astype(np.float32)
    return Inputs(truth, pixels.__getitem__)


def task(*, epochs: int = 8, images: int = 96, batch_size: int = 32, **changes: Any) -> Task:
    settings: dict[str, Any] = {
        "augmentation": "none",
        "pixel_aspect": 1.0,
        "seed": 0,
        "learning_rate": 1e-2,
    }
    recipe = Recipe(**{**settings, **changes}, epochs=epochs, batch_size=batch_size)
    what = Architecture(HEIGHT, WIDTH, 1, 3, (16,), 0.1)
    return Task(stripes(images, seed=1), stripes(30, seed=2), what, recipe)


def logits(one: Task, learned: Learned, folder: Path) -> np.ndarray:
    """Return what the kept weights say of the validation images."""
    network = training_network(one.what, seed=9)
    for k, variable in enumerate(dense_weights(network)):
        variable.assign(np.load(folder / "best.npz")[f"arr_{k}"])
    images = one.val.read(np.arange(len(one.val))) / np.float32(255)
    inputs = learned.inputs
    flat = (images.reshape(len(images), -1) - inputs.mean) * inputs.scale
    return keras.ops.convert_to_numpy(network(flat.reshape(images.shape), training=False))


@pytest.mark.parametrize("ema_momentum", [None, 0.9])
def test_it_learns_in_the_planned_steps_and_keeps_the_last_epochs_weights(
    tmp_path, monkeypatch, ema_momentum
):
    """The learning rate is 0 after the planned steps, and the estimate of time left counts them."""
    networks: list[keras.Sequential] = []
    compiled = trainer._compiled

    def remembered(*arguments: Any) -> keras.Sequential:
        networks.append(compiled(*arguments))
        return networks[-1]

    monkeypatch.setattr(trainer, "_compiled", remembered)
    one = task(epochs=6, images=1000, ema_momentum=ema_momentum)
    costs, ends = list[int](), list[EpochEnd]()
    learned = trainer.train(one, tmp_path / "run", Listener(costs.append, ends.append))

    assert [end.epoch for end in ends] == list(range(1, 7))
    assert learned.history["val_loss"] == [end.val_loss for end in ends]
    assert learned.history["val_accuracy"][-1] >= 0.9
    assert (learned.best_epoch, learned.interrupted) == (6, False)
    assert learned.ended == "All 6 epochs were run."
    assert int(networks[0].optimizer.iterations.numpy()) == one.steps
    assert sum(costs) == one.cost
    np.testing.assert_allclose(
        logits(one, learned, tmp_path / "run"), learned.val_logits, atol=1e-4
    )


def after(epochs: int) -> Listener:
    """Return a listener that says stop once so many epochs are complete."""
    ends: list[EpochEnd] = []
    return Listener(epoch=ends.append, stopped=lambda: len(ends) >= epochs)


def test_stopped_by_hand_it_keeps_the_best_epoch_so_far(tmp_path):
    one = task(epochs=1000)
    learned = trainer.train(one, tmp_path / "run", after(5))

    val_loss = learned.history["val_loss"]
    assert (len(val_loss), learned.interrupted) == (5, True)
    assert learned.best_epoch == 1 + int(np.argmin(val_loss))
    assert learned.ended == "Stopped by hand in epoch 6."
    np.testing.assert_allclose(
        logits(one, learned, tmp_path / "run"), learned.val_logits, atol=1e-4
    )


def test_stopped_in_the_first_epoch_there_is_nothing_to_keep(tmp_path):
    with pytest.raises(TrainingInterrupted, match="nothing to keep"):
        trainer.train(task(), tmp_path / "run", after(0))


@pytest.mark.parametrize("kind", ["train", "trial"])
def test_a_loss_that_explodes_ends_the_run(tmp_path, kind):
    one = task(learning_rate=1e30)
    with pytest.raises(NotLearning, match="not finite"):
        trainer.trial(one, SILENT) if kind == "trial" else trainer.train(one, tmp_path, SILENT)


def test_a_trial_is_not_moved_by_the_one_before_it():
    """They share a compiled network, and the state of its optimizer."""
    first, other, again = (
        trainer.trial(task(seed=seed, augmentation=name), SILENT)
        for seed, name in ((1, "none"), (2, "flips"), (1, "none"))
    )
    np.testing.assert_allclose(first, again, atol=1e-4)
    assert np.abs(first - other).max() > 0.01


def test_a_trial_learns_as_the_real_one_does_also_from_images_on_disk(tmp_path, monkeypatch):
    one = task(epochs=1, images=STEPS * 32, augmentation="flips+small")
    learned = trainer.train(one, tmp_path / "run", SILENT)
    monkeypatch.setattr("training.data.inputs._IN_MEMORY_BYTES", 0)
    np.testing.assert_allclose(trainer.trial(one, SILENT), learned.val_logits, atol=1e-4)
