import csv
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, write_classes
from quiet_reporter import Quiet
from typer.testing import CliRunner

import training.fit as fit_module
from model_store.bundle import open_model
from model_store.store import ModelStore
from training import trainer
from training.__main__ import _spread_hidden, app
from training.cache import PixelCache
from training.errors import MissingClass, NotLearning, TrainingInterrupted, TrainingProcessDied
from training.fit import FitRequest, fit

COUNTS = {"row": 60, "column": 40, "diagonal": 40}


def request(path: Path, **changes: object) -> FitRequest:
    settings: dict[str, object] = {
        "path": path,
        "name": "stripes",
        "height": HEIGHT,
        "width": WIDTH,
        "hidden": (32, 16),
        "dropout": 0.1,
        "augmentation": "none",
        "epochs": 30,
        "seed": 3,
        "quick": False,
        "images_in_bundle": True,
        "publish_interrupted": False,
        "publish_kept": False,
    }
    return FitRequest(**{**settings, **changes})  # type: ignore[arg-type]  # keys are checked by it


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, cache and the model "stripes", version 1. Only to be read."""
    root = tmp_path_factory.mktemp("trained")
    write_classes(root / "data", COUNTS)
    (root / "data" / "row" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    fit(request(root / "data"), ModelStore(root / "models"), root / "cache", Quiet())
    return root


def test_fit_publishes_a_model_that_learned_and_says_how(trained: Path) -> None:
    bundle = ModelStore(trained / "models").bundle("stripes")
    manifest = bundle.manifest
    assert manifest.labels == ("column", "diagonal", "row")
    assert manifest.metrics is not None and manifest.metrics.accuracy >= 0.8
    assert manifest.dataset is not None
    assert manifest.dataset.images == {"train": 105, "val": 14, "test": 21}
    assert manifest.dataset.unreadable == 1
    assert manifest.training is not None and manifest.training.augmentation == "none"
    assert "broken.png" in (bundle.folder / "report.html").read_text()
    assert list((trained / "cache" / "runs").iterdir()) == []


def test_the_published_file_holds_no_optimizer(trained: Path) -> None:
    import zipfile

    import h5py

    bundle = ModelStore(trained / "models").bundle("stripes")
    with zipfile.ZipFile(bundle.folder / "model.keras") as archive:
        assert json.loads(archive.read("config.json")).get("compile_config") is None
        with archive.open("model.weights.h5") as file, h5py.File(file) as weights:
            assert "optimizer" not in weights


def test_evaluate_prints_one_json_object(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFTONE_MODELS", str(trained / "models"))
    result = CliRunner().invoke(app, ["evaluate", "stripes", str(trained / "data"), "--json"])
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["images"] == 140
    assert record["accuracy"] >= 0.9
    assert list(record["unreadable"]) == ["row/broken.png"]


def test_predict_writes_a_row_per_file_in_name_order(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALFTONE_MODELS", str(trained / "models"))
    out = tmp_path / "out.csv"
    result = CliRunner().invoke(app, ["predict", "stripes", str(trained / "data"), "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert len(rows) == 141
    broken = next(row for row in rows if row["path"] == "row/broken.png")
    assert broken["label"] == "" and "PNG" in broken["error"]
    good = rows[0]
    values = {label: float(good[label]) for label in ("column", "diagonal", "row")}
    assert sum(values.values()) == pytest.approx(1, abs=1e-5)
    assert good["label"] == max(values, key=lambda label: values[label])


def test_predict_numbers_a_submission_in_natural_order(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALFTONE_MODELS", str(trained / "models"))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (12, HEIGHT, WIDTH), np.uint8)
    np.savez(tmp_path / "x.npz", x_test=images)
    out = tmp_path / "submission.csv"
    arguments = ["predict", "stripes", str(tmp_path / "x.npz"), "--format", "kaggle"]
    result = CliRunner().invoke(app, [*arguments, "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(out.read_text().splitlines()))
    model = open_model(ModelStore(trained / "models").bundle("stripes"))
    expected = [model.labels[k] for k in model.predict(images).argmax(axis=1)]
    model.close()
    assert [row["ImageId"] for row in rows] == [str(n) for n in range(1, 13)]
    assert [row["Label"] for row in rows] == expected


def test_an_unknown_label_is_an_error_that_names_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALFTONE_MODELS", str(trained / "models"))
    write_classes(tmp_path / "data", {"row": 2, "zigzag": 2})
    result = CliRunner().invoke(app, ["evaluate", "stripes", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "zigzag" in result.stderr and result.stderr.startswith("error: ")


def test_other_labels_than_before_are_published_with_a_warning(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    monkeypatch.setenv("HALFTONE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HALFTONE_CACHE", str(tmp_path / "cache"))
    data = write_classes(tmp_path / "data", {"row": 60, "column": 40})
    arguments = ["fit", str(data), "--name", "stripes", "--augmentation", "none", "--epochs", "10"]
    sizes = ["--height", str(HEIGHT), "--width", str(WIDTH)]

    other, same = (CliRunner().invoke(app, [*arguments, *sizes]) for _ in range(2))

    assert (other.exit_code, same.exit_code) == (0, 0), other.stderr + same.stderr
    assert "HALFTONE_MODEL=stripes python -m app" in other.stdout
    assert "warning: the version before has other labels (column, diagonal, row)" in other.stderr
    assert "other labels" not in same.stderr


def test_same_seed_same_weights(tmp_path: Path, store: ModelStore, reporter: Quiet) -> None:
    data = write_classes(tmp_path / "data", COUNTS)
    for _ in range(2):
        fit(request(data, epochs=3), store, tmp_path / "cache", reporter)
    first, second = (store.bundle("stripes", version).manifest for version in (1, 2))
    assert first.metrics == second.metrics
    assert first.dataset == second.dataset


def test_labels_without_meaning_are_not_published(
    tmp_path: Path, store: ModelStore, reporter: Quiet
) -> None:
    for label, seed in (("heads", 1), ("tails", 2)):
        write_classes(tmp_path / "coin", {label: 100}, seed=seed)
    with pytest.raises(NotLearning, match="not learning and was not published"):
        fit(request(tmp_path / "coin", epochs=10), store, tmp_path / "cache", reporter)
    assert store.versions("stripes") == []


def test_a_loss_that_explodes_ends_the_run(
    tmp_path: Path, store: ModelStore, reporter: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_classes(tmp_path / "data", COUNTS)
    monkeypatch.setattr(trainer, "_optimizer", lambda *_: keras.optimizers.SGD(1e30))
    with pytest.raises(NotLearning, match="not finite after epoch 1"):
        fit(request(data), store, tmp_path / "cache", reporter)
    assert store.versions("stripes") == []


def test_interrupting_keeps_the_best_weights_until_asked(
    tmp_path: Path, store: ModelStore, reporter: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_classes(tmp_path / "data", COUNTS)
    told = Quiet.say

    def interrupt(self: Quiet, text: str) -> None:
        told(self, text)
        if text.startswith("epoch 12/"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Quiet, "say", interrupt)
    with pytest.raises(TrainingInterrupted, match="--publish-kept"):
        fit(request(data), store, tmp_path / "cache", reporter)
    assert store.versions("stripes") == []
    assert any("Publish the best weights so far" in line for line in reporter.lines)
    bundle = fit(request(data, publish_kept=True), store, tmp_path / "cache", reporter)
    assert bundle.manifest.training is not None
    assert bundle.manifest.training.epochs == 12


def test_publish_kept_without_a_run_says_what_it_expected(
    tmp_path: Path, store: ModelStore, reporter: Quiet
) -> None:
    data = write_classes(tmp_path / "data", COUNTS)
    with pytest.raises(TrainingInterrupted, match="interrupted run"):
        fit(request(data, publish_kept=True), store, tmp_path / "cache", reporter)


def test_a_bundle_can_hold_none_of_the_images(
    tmp_path: Path, store: ModelStore, reporter: Quiet
) -> None:
    data = write_classes(tmp_path / "data", COUNTS)
    bundle = fit(request(data, images_in_bundle=False), store, tmp_path / "cache", reporter)
    probes = {(bundle.folder / probe.file).read_bytes() for probe in bundle.manifest.probes}
    assert probes
    assert not probes & {path.read_bytes() for path in data.rglob("*.png")}


def test_fit_refuses_a_class_with_too_few_images(
    tmp_path: Path, store: ModelStore, reporter: Quiet
) -> None:
    data = write_classes(tmp_path / "data", {"row": 20, "column": 2})
    with pytest.raises(MissingClass, match="'column'"):
        fit(request(data), store, tmp_path / "cache", reporter)


def test_check_exits_1_on_what_fit_would_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALFTONE_CACHE", str(tmp_path / "cache"))
    size = ["--height", str(HEIGHT), "--width", str(WIDTH)]
    data = write_classes(tmp_path / "data", {"row": 20, "column": 2})
    result = CliRunner().invoke(app, ["check", str(data), *size])
    assert (result.exit_code, "error: " in result.stderr) == (1, True)
    write_classes(tmp_path / "data", {"column": 20})
    assert CliRunner().invoke(app, ["check", str(data), *size]).exit_code == 0


def test_hidden_takes_several_numbers_after_one_flag() -> None:
    spread = _spread_hidden(["fit", "--hidden", "512", "256", "--seed", "1", "7"])
    assert spread == ["fit", "--hidden", "512", "--hidden", "256", "--seed", "1", "7"]


def test_the_cache_is_shared_between_runs(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = ModelStore(trained / "models").bundle("stripes").manifest
    from training import cache as cache_module
    from training.sources import open_labelled

    monkeypatch.delattr(cache_module, "preprocess_with_source")
    records = PixelCache(trained / "cache", manifest.image).index(
        open_labelled(trained / "data"), lambda _: None
    )
    assert sum(record.row is not None for record in records) == 140


def test_a_large_network_trains_in_a_process_of_its_own(
    tmp_path: Path, store: ModelStore, reporter: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "_LARGE_KERNEL", 0)
    data = write_classes(tmp_path / "data", COUNTS)
    apart = fit(request(data, epochs=5), store, tmp_path / "cache", reporter)
    assert sum(line.startswith("epoch ") for line in reporter.lines) == 5
    monkeypatch.undo()
    here = fit(request(data, epochs=5), store, tmp_path / "cache", reporter)
    assert apart.manifest.metrics == here.manifest.metrics


def test_what_stops_the_other_process_is_said_here(
    tmp_path: Path, store: ModelStore, reporter: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "_LARGE_KERNEL", 0)
    data = write_classes(tmp_path / "data", COUNTS)

    def interrupt(_: Quiet, text: str) -> None:
        if text.startswith("epoch"):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Quiet, "say", interrupt)
    with pytest.raises(TrainingInterrupted, match="--publish-kept"):
        fit(request(data, epochs=300), store, tmp_path / "cache", reporter)


def test_a_training_process_that_is_killed_is_reported(
    tmp_path: Path, store: ModelStore, reporter: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "_LARGE_KERNEL", 0)
    data = write_classes(tmp_path / "data", COUNTS)

    def kill(_: Quiet, text: str) -> None:
        if text.startswith("epoch"):
            for child in multiprocessing.active_children():
                child.kill()

    monkeypatch.setattr(Quiet, "say", kill)
    with pytest.raises(TrainingProcessDied, match="exit code -9"):
        fit(request(data, epochs=300), store, tmp_path / "cache", reporter)
