"""Settings that cannot be trained with, and machines that lack room, end in a sentence."""

import queue
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import training.learn.trainer as trainer_module
import training.learn.workers as workers_module
from training.__main__ import app
from training.errors import CacheError, TrainingInterrupted, TrainingProcessDied
from training.learn.checkpoint import save_weights


@pytest.mark.parametrize(
    "options", [["--seed", "-1"], ["--seed", str(2**40)], ["--pool", "25"], ["--pool", "1024"]]
)
def test_settings_that_fit_no_run_are_refused(tmp_path, options):
    size = ["--height", "40", "--width", "24"]
    result = CliRunner().invoke(app, ["fit", str(tmp_path), "--name", "x", *size, *options])
    assert result.exit_code == 2
    assert options[0] in result.output


@pytest.fixture
def stop(monkeypatch) -> threading.Event:
    stop = threading.Event()
    monkeypatch.setattr(workers_module, "_told", queue.SimpleQueue())
    monkeypatch.setattr(workers_module, "_stop", stop)
    return stop


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM")], ids=["RAM", "tf"]
)
@pytest.mark.parametrize("kind", ["trial", "train"])
@pytest.mark.usefixtures("stop")
def test_lack_of_memory_says_what_needs_less(monkeypatch, kind, error):
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(trainer_module, kind, full)
    arguments = (None, None) if kind == "train" else (None,)
    with pytest.raises(TrainingProcessDied, match="not enough memory.*A larger --pool"):
        getattr(workers_module, f"_{kind}")(*arguments)


def test_a_trial_that_waits_when_all_are_stopped_does_not_begin(stop):
    stop.set()
    with pytest.raises(TrainingInterrupted):
        workers_module._trial(None)  # type: ignore[arg-type]  # it would fail


def test_weights_that_do_not_fit_the_disk_name_the_cache(tmp_path: Path):
    with pytest.raises(CacheError, match="cannot keep the weights.*HALFTONE_CACHE"):
        save_weights(tmp_path / "gone", [np.zeros(3, np.float32)])
