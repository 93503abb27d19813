"""Two runs of `fit` at once never take each other's weights for their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from class_folders import write_classes
from fit_requests import COUNTS, request

import training.fit as fit_module
from model_store.store.store import ModelStore
from training.errors import RunUnderWay, TrainingInterrupted
from training.fit import fit
from training.learn.checkpoint import alone


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_a_second_run_of_the_same_model_and_images_is_refused(
    tmp_path, store, reporter, monkeypatch
):
    data = write_classes(tmp_path / "data", COUNTS)

    def second(*_: object) -> None:
        fit(request(data), store, tmp_path / "cache", reporter)

    monkeypatch.setattr(fit_module, "_train", second)
    with pytest.raises(RunUnderWay, match="give another --name"):
        fit(request(data), store, tmp_path / "cache", reporter)
    assert store.versions("stripes") == []


def test_a_run_that_ended_or_was_killed_frees_its_place(tmp_path, store, reporter):
    data = write_classes(tmp_path / "data", COUNTS)
    asked = request(data, publish_kept=True)
    for _ in range(2):
        with pytest.raises(TrainingInterrupted, match="interrupted run"):
            fit(asked, store, tmp_path / "cache", reporter)

    (lock,) = (tmp_path / "cache" / "runs").glob("*.lock")
    program = (
        "import sys; from pathlib import Path; from training.learn.checkpoint import alone\n"
        "with alone(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, lock.with_suffix("")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(RunUnderWay):
            fit(asked, store, tmp_path / "cache", reporter)
        holder.kill()
    with alone(lock.with_suffix("")):
        pass
