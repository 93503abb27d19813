import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, write_classes, write_deep
from fit_requests import COUNTS, OPTIONS, request
from quiet_reporter import Quiet
from typer.testing import CliRunner

import training.fit as fit_module
import training.progress as progress_module
from model_store.pixels.novelty import Novelty
from model_store.store.seen import seen_by
from model_store.store.store import ModelStore
from training.__main__ import app
from training.data.dataset import Dataset
from training.errors import NotLearning, TrainingInterrupted, TrainingProcessDied
from training.fit import fit
from training.learn import selection as selection_module
from training.learn.workers import workers
from training.options import _spread_hidden

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the commands find store and cache."""
    monkeypatch.setenv("HALFTONE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HALFTONE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_fit_publishes_a_model_that_learned_and_says_how(trained):
    bundle = ModelStore(trained / "models").bundle("stripes")
    manifest = bundle.manifest
    assert manifest.labels == ("column", "diagonal", "row")
    assert manifest.metrics is not None and manifest.metrics.accuracy >= 0.8
    images = manifest.dataset.images
    assert sum(images.values()) == 140 and images["train"] > 80
    assert manifest.dataset.unreadable == 1
    assert (manifest.training.augmentation, manifest.training.pool) == ("none", 1)
    assert manifest.training.ended == "All 30 epochs were run."
    assert [one.name for one in manifest.baselines] == [
        "the commonest class of training",
        "logistic regression on thumbnails",
        "a small perceptron on thumbnails",
    ]
    assert manifest.comparison is None
    assert manifest.reference.usual is not None
    blank = np.full((HEIGHT, WIDTH), 255, np.uint8)
    assert Novelty(manifest.reference.usual).is_unusual(blank)
    seen = seen_by(bundle)
    assert seen is not None and len(seen) == images["train"] + images["val"]
    assert "broken.png" in (bundle.folder / "report.html").read_text()
    assert not any(path.is_dir() for path in (trained / "cache" / "runs").iterdir())


def test_the_published_network_sees_what_training_saw(trained):
    """Its figures come again from the files, through the service's own preprocessing."""
    env = {"HALFTONE_MODELS": str(trained / "models")}
    result = CliRunner().invoke(
        app, ["evaluate", "stripes", str(trained / "data"), "--json"], env=env
    )
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    metrics = ModelStore(trained / "models").bundle("stripes").manifest.metrics
    assert (record["images"], record["accuracy"]) == (metrics.images, metrics.accuracy)
    assert record["loss"] == pytest.approx(metrics.loss, abs=1e-3)
    assert record["images"] + record["seen"]["images"] == 140
    assert record["seen"]["accuracy"] >= 0.9
    assert list(record["unreadable"]) == ["row/broken.png"]


@pytest.mark.usefixtures("_quick_start")
def test_other_labels_and_options_are_published_with_a_warning(trained, at_home):
    """Without images, and with the white of 16 bits that was asked for."""
    shutil.copytree(trained / "models", at_home / "models")
    data = write_deep(at_home / "data", 12, {"row": 60, "column": 40})

    more = ["--epochs", "30", "--without-images", "--depth16-max", "4095"]
    result = CliRunner().invoke(app, ["fit", str(data), *OPTIONS, *more])

    assert result.exit_code == 0, result.stderr
    assert "It serves: there is no version with the same labels to compare with." in result.stdout
    assert "HALFTONE_MODEL=stripes python -m app" in result.stdout
    assert "warning: the version before has other labels (column, diagonal, row)" in result.stderr
    bundle = ModelStore(at_home / "models").bundle("stripes")
    manifest = bundle.manifest
    assert manifest.version == 2
    probes = {(bundle.folder / probe.file).read_bytes() for probe in manifest.probes}
    assert probes
    assert not probes & {path.read_bytes() for path in data.rglob("*.png")}
    assert manifest.image.depth16_max == 4095
    assert manifest.metrics is not None and manifest.metrics.accuracy > 0.9
    assert "4095" in (bundle.folder / "report.html").read_text()


def mislead(data: Path) -> None:
    """Swap half of the training images of two classes."""
    for path in (data / "train" / "diagonal").glob("*[02468].png"):
        other = data / "train" / "row" / path.name
        path.rename(data / "swap.png")
        other.rename(path)
        (data / "swap.png").rename(other)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_start")
def test_a_worse_version_is_published_but_does_not_serve(at_home):
    data, store = at_home / "data", ModelStore(at_home / "models")
    write_classes(data / "train", dict.fromkeys(COUNTS, 50))
    write_classes(data / "test", dict.fromkeys(COUNTS, 20), seed=7)
    command = ["fit", str(data), *OPTIONS, "--epochs", "30"]
    first = CliRunner().invoke(app, command)
    mislead(data)
    second = CliRunner().invoke(app, command)

    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    good, bad = (store.bundle("stripes", version).manifest for version in (1, 2))
    current = store.current("stripes")
    assert current is not None and current.version == 1
    assert "It serves: " in first.stdout and "to serve it all the same" not in first.stdout
    assert "It does not serve: it is worse (p = " in second.stdout
    assert "python -m model_store promote stripes 2" in second.stdout
    assert "warning: the version before" not in second.stderr
    assert good.comparison is None and bad.comparison is not None
    assert (bad.comparison.version, bad.comparison.verdict) == (1, "worse")
    assert bad.comparison.images == bad.metrics.images == 60
    assert bad.comparison.accuracy == pytest.approx(bad.metrics.accuracy)
    assert bad.comparison.other_accuracy == pytest.approx(good.metrics.accuracy)


@pytest.mark.usefixtures("_quick_start")
def test_same_seed_same_figures_and_nothing_serves_that_should_not(
    trained, tmp_path, store, reporter
):
    fitted = fit(request(trained / "data", promote="never"), store, tmp_path / "cache", reporter)

    first = ModelStore(trained / "models").bundle("stripes").manifest
    again = fitted.bundle.manifest
    assert again.metrics == first.metrics
    assert (again.dataset, again.baselines) == (first.dataset, first.baselines)
    assert (fitted.promoted, fitted.reason) == (False, "as asked (--promote never)")
    assert (store.versions("stripes"), store.current("stripes")) == ([1], None)


@pytest.mark.usefixtures("_quick_start")
def test_labels_without_meaning_are_not_published_but_leave_a_report(tmp_path, store, reporter):
    for label, seed in (("heads", 1), ("tails", 2)):
        write_classes(tmp_path / "coin", {label: 100}, seed=seed)
    with pytest.raises(NotLearning, match="not learning and was not published") as refused:
        fit(request(tmp_path / "coin", epochs=10), store, tmp_path / "cache", reporter)
    assert store.versions("stripes") == []
    named = re.search(r"Its report: (\S+)", str(refused.value))
    report = Path(named[1]).read_text()
    assert "heads" in report and "95 % interval" in report


@pytest.mark.slow
def test_what_is_not_given_is_chosen_by_trials(
    trained, tmp_path, store, reporter, monkeypatch, one_process
):
    def side_by_side(count: int, *rest: Any) -> Any:
        return (workers if count > 1 else one_process)(count, *rest)

    monkeypatch.setattr(fit_module, "workers", side_by_side)
    monkeypatch.setattr(selection_module, "_SHORT_STEPS", 4)
    monkeypatch.setattr(selection_module, "_LONG_STEPS", 4)
    monkeypatch.setattr(selection_module, "KINDS", ("none", "mirror", "small"))
    asked = request(trained / "data", augmentation=None, pool=None)
    training = fit(asked, store, tmp_path / "cache", reporter).bundle.manifest.training

    assert training is not None and training.selection is not None
    chosen = training.selection
    assert (training.pool, training.augmentation) == (chosen.pool, chosen.augmentation)
    stages = Counter(one.stage.partition(",")[0] for one in chosen.candidates)
    assert stages["first look"] == 3 and stages["longer"] == 3
    assert all(one.images >= 40 and one.loss >= 0 for one in chosen.candidates)
    assert any(line.startswith("Chosen: 12 x 16 inputs") for line in reporter.lines)


def learned(line: str) -> bool:
    """Whether a line tells of an epoch after which the network is worth keeping."""
    accuracy = re.search(r"^epoch .* val_accuracy (\S+)", line)
    return accuracy is not None and float(accuracy[1]) >= 0.8


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_start")
def test_ctrl_c_publishes_the_best_weights_where_asked(trained, tmp_path, store, monkeypatch):
    class Interrupting(Quiet):
        def say(self, text: str) -> None:
            if learned(text) and not any(map(learned, self.lines)):
                os.kill(os.getpid(), signal.SIGINT)
            super().say(text)

    monkeypatch.setattr(progress_module, "_SELDOM_SECONDS", 0.0)
    asked = request(trained / "data", epochs=3000, publish_interrupted=True)
    manifest = fit(asked, store, tmp_path / "cache", Interrupting()).bundle.manifest

    assert manifest.training.epochs < 3000
    assert manifest.training.ended.startswith("Stopped by hand in epoch")


def an_oracle(data: Dataset, _: int) -> dict[str, np.ndarray]:
    return {"an oracle": np.eye(len(data.labels), dtype=np.float32)[data.test.truth]}


@pytest.mark.slow
def test_sigterm_keeps_the_best_weights_which_are_published_when_asked(
    trained, at_home, store, reporter, monkeypatch
):
    command = ["-m", "training", "fit", str(trained / "data"), *OPTIONS, "--epochs", "3000"]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if learned(line):
                process.send_signal(signal.SIGTERM)
                break
        last = process.stderr.read().splitlines()
        assert (process.wait(), process.stdout.read()) == (130, ""), [*lines, *last]
    assert last[-1].endswith("run the same command with --publish-kept.")
    assert not any("Warning" in line for line in [*lines, *last]), lines
    assert store.versions("stripes") == []

    asked = request(trained / "data", publish_kept=True)
    with pytest.raises(TrainingInterrupted, match="need --pool 1, .* Received: --pool 2"):
        fit(replace(asked, pool=2), store, at_home / "cache", reporter)
    monkeypatch.setattr(fit_module, "_baselines", an_oracle)
    manifest = fit(asked, store, at_home / "cache", reporter).bundle.manifest

    assert manifest.training.ended.startswith("Stopped by hand")
    assert [(one.name, one.accuracy) for one in manifest.baselines] == [("an oracle", 1.0)]
    assert not any(path.is_dir() for path in (at_home / "cache" / "runs").iterdir())


def test_publish_kept_without_a_run_says_what_it_expected(tmp_path, store, reporter):
    data = write_classes(tmp_path / "data", COUNTS)
    with pytest.raises(TrainingInterrupted, match="interrupted run"):
        fit(request(data, publish_kept=True), store, tmp_path / "cache", reporter)


def test_check_exits_1_on_what_fit_would_refuse(at_home):
    data = write_classes(at_home / "data", {"row": 20, "column": 2})
    command = ["check", str(data), "--height", str(HEIGHT), "--width", str(WIDTH)]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "error: " in result.stderr) == (1, True)
    write_classes(data, {"column": 20})
    assert CliRunner().invoke(app, command).exit_code == 0


def test_an_augmentation_that_nobody_knows_is_wrong_usage():
    command = ["fit", "images", "--name", "x", "--augmentation", "mixup"]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "Received: 'mixup'" in result.stderr) == (2, True)


def test_hidden_takes_several_numbers_after_one_flag():
    spread = _spread_hidden(["fit", "--hidden", "512", "256", "--seed", "1", "7"])
    assert spread == ["fit", "--hidden", "512", "--hidden", "256", "--seed", "1", "7"]


@pytest.mark.slow
def test_a_training_process_that_is_killed_is_reported(trained, tmp_path, store):
    others = multiprocessing.active_children()

    class Killing(Quiet):
        def say(self, text: str) -> None:
            super().say(text)
            if text.startswith("epoch"):
                for child in {*multiprocessing.active_children()} - {*others}:
                    child.kill()

    with pytest.raises(TrainingProcessDied, match="larger --pool"):
        fit(request(trained / "data", epochs=3000), store, tmp_path / "cache", Killing())
    assert store.versions("stripes") == []
