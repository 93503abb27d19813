"""What `predict --cluster` refuses before any node works, and on a node that sees other files."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import click.testing
import pytest
from quiet_reporter import Quiet
from typer.testing import CliRunner

from model_store.bundle import Model, open_model
from model_store.errors import ModelStoreError
from model_store.inference import BATCH_SIZE
from model_store.store.store import ModelStore
from training.__main__ import app
from training.cluster.connection import connected, require_cluster
from training.cluster.job import Job, job_of
from training.cluster.scoring import Scorer, parts_of, predict_on_cluster
from training.cluster.target import begin
from training.errors import ClusterError, TargetRefused, TrainingError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(b"")
    return tmp_path / "images"


@pytest.fixture
def model(shared_tiny_store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    monkeypatch.setenv("HALFTONE_MODELS", str(shared_tiny_store.root))
    model = open_model(shared_tiny_store.bundle("tiny"))
    yield model
    model.close()


@pytest.fixture
def job(model: Model, images: Path, tmp_path: Path) -> Job:
    return job_of(model, str(images), str(tmp_path / "out"))


def predict(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(app, ["predict", "tiny", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("images", "-o", "out", "--cluster", "local", "--format", "kaggle"), "one file"),
        (("images", "-o", "-", "--cluster", "local"), "a folder or a bucket"),
        (("s3://bucket/images", "-o", "out.csv"), "--cluster only"),
        (("images", "-o", "s3://bucket/out"), "--cluster only"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_opened(arguments, words):
    result = predict(*arguments)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("address", ["auto", "", "ray://head:10001", "head", "head:99999", "a b:1"])
def test_a_cluster_is_never_one_that_is_found(address):
    with pytest.raises(ClusterError, match="Expected --cluster local, or HOST:PORT"):
        require_cluster(address)


def test_an_address_where_nobody_answers_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

    with pytest.raises(ClusterError, match=f"{address}. Nobody answers there"):
        require_cluster(address)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed here")
def test_without_ray_it_is_said_what_installs_it():
    with (
        pytest.raises(ClusterError, match="`scripts/setup .venv-cluster requirements/cluster.txt`"),
        connected("local"),
    ):
        pass


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"version": 2}, "begun with version 1 of tiny. Received: version 2"),
        ({"source": "/elsewhere"}, "Received: source /elsewhere. Give another target"),
        ({"engine": "keras"}, "Received: engine keras"),
        ({"created_at": "2026-01-01"}, "Received: created_at 2026-01-01"),
    ],
)
def test_a_target_goes_on_only_with_what_it_was_begun_with(job, other, words):
    assert begin(job) == begin(job) == set()
    with pytest.raises(TargetRefused, match=words):
        begin(replace(job, **other))  # type: ignore[arg-type]  # mypy knows no fields of a dict


def test_nothing_is_written_among_the_files_of_others(job, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("")
    with pytest.raises(TargetRefused, match=r"Received: .*, with thesis.txt"):
        begin(job)
    (tmp_path / "out" / "_model.json").write_text("[]")
    with pytest.raises(TargetRefused, match="a _model.json that this command did not write"):
        begin(job)
    with pytest.raises(TargetRefused, match="Expected a folder or a bucket"):
        begin(replace(job, target=str(tmp_path / "out" / "thesis.txt")))


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("nowhere", "out", "Expected a folder or a bucket of images. Received: .*nowhere"),
        ("images/x.png", "out", "Expected a folder or a bucket of images"),
        ("nothing", "out", "Expected image files in .*nothing. Received: none"),
        ("images", "images/out", "Expected a place outside of .*images. Received: .*images/out"),
        ("images", "images", "Expected a place outside of"),
        ("ftp://host/images", "out", "Expected a folder, or a bucket"),
    ],
)
def test_places_that_cannot_be_are_refused_and_nothing_is_begun(
    model, images, monkeypatch, source, target, words
):
    monkeypatch.setattr("training.cluster.scoring.require_cluster", lambda _: None)
    monkeypatch.chdir(images.parent)
    (images.parent / "nothing").mkdir()
    with pytest.raises((TrainingError, ModelStoreError), match=words):
        predict_on_cluster(model, source, target, "local", Quiet())

    assert not Path(target, "_model.json").exists()


def test_a_node_that_sees_other_folders_scores_nothing(job, tmp_path):
    names = {"names": ['["gone.png"]']}
    (unmounted,) = Scorer(job)(names)["refused"]
    begin(job)
    (emptied,) = Scorer(job)(names)["refused"]

    assert f"{tmp_path / 'out'} is not the same folder on every node" in unmounted
    assert f"{tmp_path / 'images'} is not the same folder on every node" in emptied
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "_model.json"]


@pytest.mark.parametrize(("total", "size"), [(5, 64), (2005, 64), (1_000_000, 960), (10**8, 4096)])
def test_parts_hold_whole_batches_wherever_a_run_was_stopped(total, size):
    names = [str(number) for number in range(2 * size + 5)]
    parts = parts_of(names, total)

    assert size % BATCH_SIZE == 0
    assert [len(part) for part in parts] == [size, size, 5]
    assert parts_of(names[size:], total) == parts[1:]
