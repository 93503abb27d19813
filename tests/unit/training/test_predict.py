"""What `predict` writes: which files have a row, and what it is called."""

import csv
from contextlib import closing
from pathlib import Path

import click.testing
import numpy as np
import pytest
from commands import unread
from PIL import Image
from quiet_reporter import Quiet
from typer.testing import CliRunner

from model_store.bundle import open_model
from model_store.pixels.preprocessing import preprocess
from model_store.store.store import ModelStore
from training.__main__ import app
from training.judge.predict import predict as run_predict


@pytest.fixture
def store(shared_tiny_store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setenv("HALFTONE_MODELS", str(shared_tiny_store.root))
    return shared_tiny_store


def predict(*arguments: object) -> click.testing.Result:
    result = CliRunner().invoke(app, ["predict", "tiny", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    return result


def write(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 10), np.uint8)
        Image.fromarray(pixels).save(root / name)
    return root


def answers(store: ModelStore, root: Path) -> dict[str, str]:
    """What the model says of every image below `root`."""
    model = open_model(store.bundle("tiny"))
    found = {}
    for path in root.rglob("*.png"):
        pixels = preprocess(path.read_bytes(), model.spec)
        answer = int(model.predict(pixels[None])[0].argmax())
        found[path.relative_to(root).as_posix()] = model.labels[answer]
    model.close()
    return found


def submission(folder: Path, out: Path) -> list[tuple[str, str]]:
    predict(folder, "--format", "kaggle", "-o", out)
    header, *rows = csv.reader(out.read_text().splitlines())
    assert header == ["ImageId", "Label"]
    return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize(
    "numbered",
    [
        {"3": "3.png", "7": "0007.png", "20": "20.png", "100": "100.png"},
        {"1": "img2.png", "2": "img10.png"},
        {"1": "a/1.png", "2": "b/1.png"},
        {"1": "01.png", "2": "1.png"},
    ],
)
def test_ids_of_a_submission_are_the_numbers_that_name_the_files_or_count_them(
    store, tmp_path, numbered
):
    folder = write(tmp_path / "new", *sorted(numbered.values()))
    said = answers(store, folder)
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "sample_submission.csv").write_text("ImageId,Label\n")

    expected = [(number, said[name]) for number, name in numbered.items()]
    assert submission(folder, tmp_path / "out.csv") == expected


@pytest.mark.usefixtures("store")
def test_only_images_are_numbered_and_broken_ones_keep_their_number(tmp_path):
    folder = write(tmp_path / "new", "img1.png", "img3.png")
    (folder / "img2.png").write_bytes(b"")
    (folder / "a note.txt").write_text("hello")
    out = tmp_path / "out.csv"
    rows = submission(folder, out)

    assert [number for number, _ in rows] == ["1", "2", "3"]
    assert [label == "" for _, label in rows] == [False, True, False]
    warned = predict(folder, "--format", "kaggle", "-o", out).stderr
    assert "a note.txt: no image; it has no row" in warned
    assert "img2.png: Expected one of" in warned


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("notes", "Expected images. Received: 1 other files"),
        ("no", "Expected an image, a folder or an .npz file. Received: "),
    ],
)
def test_without_images_there_is_no_submission(tmp_path, folder, words):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a note.txt").write_text("hello")
    out = tmp_path / "out.csv"
    arguments = ["predict", "tiny", str(tmp_path / folder), "--format", "kaggle", "-o", str(out)]
    result = CliRunner().invoke(app, arguments)

    assert (result.exit_code, out.exists()) == (1, False)
    assert words in result.stderr


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (("a", "b", "c"), ("a", "b", "c")),
        (("Label", "errors", "c"), ("Label", "errors", "c")),
        (("label", "error", "c"), ("class:label", "class:error", "class:c")),
        (("path", "probability", "c"), ("class:path", "class:probability", "class:c")),
        (("class:label", "a", "b"), ("class:class:label", "class:a", "class:b")),
    ],
)
def test_no_class_is_called_like_another_column(store, tmp_path, labels, columns):
    folder = write(tmp_path / "new", "x.png")
    (folder / "note.txt").write_text("hello")
    with closing(open_model(store.bundle("tiny"))) as model:
        model.labels = labels
        run_predict(model, folder, tmp_path / "out.csv", "csv", Quiet())
    header, *_ = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    note, image = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())

    assert header == ["path", "label", "probability", *columns, "error"]
    assert len(set(header)) == len(header)
    assert (note["path"], note["label"], image["error"]) == ("note.txt", "", "")
    assert note["error"].startswith("Expected one of")
    best = max(columns, key=lambda column: float(image[column]))
    assert image["label"] == labels[columns.index(best)]
    assert sum(float(image[column]) for column in columns) == pytest.approx(1, abs=1e-5)


def test_a_single_image_has_one_row(store, tmp_path):
    folder = write(tmp_path / "new", "x.png", "y.png")
    predict(folder / "y.png", "-o", tmp_path / "out.csv")
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())

    assert (row["path"], row["label"]) == ("y.png", answers(store, folder)["y.png"])


@pytest.mark.usefixtures("store")
def test_a_dash_writes_the_table_alone_to_standard_output(tmp_path):
    folder = write(tmp_path / "new", "é.png", "y.png")
    (folder / "note.txt").write_text("hello")
    predict(folder, "-o", tmp_path / "out.csv")
    result = predict(folder, "-o", "-")

    assert result.stdout_bytes == (tmp_path / "out.csv").read_bytes()
    assert "warning: note.txt" in result.stderr
    assert "Wrote" not in result.stderr
    assert not Path("-").exists()


@pytest.mark.usefixtures("store")
def test_a_reader_that_leaves_ends_it_quietly(tmp_path):
    folder = write(tmp_path / "new", "x.png")
    done = unread("-m", "training", "predict", "tiny", folder, "-o", "-")

    assert done.returncode == 1
    assert "Error" not in done.stderr and "Traceback" not in done.stderr
