"""The command line of the store: what it prints, and how it ends."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
from commands import python
from keras_files import write
from PIL import Image
from tiny_models import publish_tiny
from typer.testing import CliRunner

from model_store.__main__ import _parse_labels, app
from model_store.store.store import ModelStore


@pytest.fixture
def store(tiny_store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setenv("HALFTONE_MODELS", str(tiny_store.root))
    return tiny_store


def run(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def plain(text: str) -> str:
    """Drop colours and the box that usage errors come in."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


@pytest.mark.usefixtures("store")
def test_list_shows_each_model_on_a_line():
    result = run("list")
    (row,) = json.loads(run("list", "--json").stdout)

    assert result.exit_code == 0
    assert result.stdout == "tiny  version 1 of 1: 3 labels, 12 x 10 pixels\n"
    assert (row["name"], row["versions"], row["current"]["version"]) == ("tiny", [1], 1)
    assert (row["labels"], row["height"], row["width"], row["accuracy"]) == (3, 12, 10, None)


def test_list_of_an_empty_store_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("HALFTONE_MODELS", str(tmp_path / "none"))

    result = run("list")

    assert result.exit_code == 0
    assert result.stdout == f"No models in {tmp_path / 'none'}.\n"
    assert json.loads(run("list", "--json").stdout) == []


def test_list_goes_on_past_a_damaged_model(store):
    (store.root / "tiny" / "1" / "manifest.json").write_text("{}")
    publishable = store.root / "other" / "1"
    publishable.mkdir(parents=True)
    (publishable / "manifest.json").write_text("{}")

    result = run("list")

    assert result.exit_code == 0
    assert "other  versions 1, none promoted" in result.stdout
    assert "tiny   damaged: manifest.json" in result.stdout


def test_show_describes_layers_and_engines_and_is_the_manifest_as_json(store):
    shown = json.loads(run("show", "tiny", "--json").stdout)
    result = run("show", "tiny")

    assert result.exit_code == 0
    assert "3: circle, cross, square" in result.stdout
    assert "12 x 10, grayscale" in result.stdout
    assert re.search(r"Dense +16 +1,936", result.stdout)
    assert "(default)" in result.stdout
    assert shown == store.bundle("tiny").manifest.model_dump(mode="json")


@pytest.mark.usefixtures("store")
def test_verify_says_what_was_checked():
    result = run("verify", "tiny")

    assert result.exit_code == 0
    assert result.stdout.startswith("tiny 1 is sound: ")
    assert "keras" in result.stdout
    found = json.loads(run("verify", "tiny", "--version", 1, "--json").stdout)
    assert found["name"] == "tiny"
    assert found["probes"] == 10
    assert "openvino-f32" in found["engines"]


def test_verify_of_a_damaged_bundle_fails_with_one_sentence(store):
    path = store.root / "tiny" / "1" / "model.keras"
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    result = run("verify", "tiny")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: model.keras: ")
    assert result.stderr.count("\n") == 1


def test_promote_and_rollback_say_what_is_current(store):
    assert run("promote", "tiny", 1).stdout == "tiny 1 is current.\n"
    publish_tiny(store, "tiny", seed=1)

    assert run("rollback", "tiny").stdout == "tiny 1 is current; 2 was before.\n"
    assert run("promote", "tiny", 2).stdout == "tiny 2 is current; 1 was before.\n"
    shutil.rmtree(store.root / "tiny" / "1")
    assert run("rollback", "tiny").stderr == "error: tiny has no version 1, only 2\n"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "missing"),
        ("verify", "tiny", "--version", 7),
        ("promote", "tiny", 7),
        ("promote", "missing", 1),
        ("rollback", "tiny"),
        ("expand", "missing", "-o", "full.keras"),
        ("show", "../tiny"),
    ],
    ids=" ".join(["{}"]).format,
)
def test_what_is_not_there_ends_with_1_and_a_sentence(arguments):
    result = run(*arguments)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "arguments",
    [("show",), ("promote", "tiny", "latest"), ("promote", "tiny", 0), ("frobnicate",), ()],
    ids=str,
)
def test_wrong_usage_ends_with_2(arguments):
    assert run(*arguments).exit_code == 2


def import_arguments(path: Path, labels: str, height: int = 12) -> tuple[Any, ...]:
    return ("import", path, "--name", "new", "--labels", labels, "--height", height, "--width", 10)


def test_import_publishes_and_says_where_and_only_images_are_its_examples(store, tmp_path):
    for k in range(3):
        pixels = np.full((12, 10), 50 * k, np.uint8)
        (tmp_path / "examples" / "@eaDir").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "examples" / f"{k}.png")
    for name in ("Thumbs.db", "@eaDir/x.png", "read me.txt"):
        (tmp_path / "examples" / name).write_bytes(b"x")
    arguments = import_arguments(write(tmp_path / "m.keras"), "a,b,c")

    result = run(*arguments, "--images", tmp_path / "examples")

    assert result.exit_code == 0, result.output
    assert f"Published new 1 in {store.root / 'new' / '1'}." in result.stdout
    manifest = store.bundle("new").manifest
    assert manifest.labels == ("a", "b", "c")
    assert manifest.engines["openvino-f32"].parity.images == 3


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a,b,c", ("a", "b", "c")),
        (" a , b ,c ", ("a", "b", "c")),
        ('"ok, front",b,c', ("ok, front", "b", "c")),
        ("ä,日本,🙂", ("ä", "日本", "🙂")),
        ("utf-8.txt", ("ok, front", "broken")),
        ("utf-8-sig.txt", ("ok, front", "broken")),
    ],
)
def test_labels_are_separated_by_commas_or_stand_in_a_file(tmp_path, monkeypatch, text, labels):
    monkeypatch.chdir(tmp_path)
    for encoding in ("utf-8", "utf-8-sig"):
        Path(f"{encoding}.txt").write_text("ok, front\nbroken\n\n", encoding=encoding)

    assert _parse_labels(text) == labels


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("labels", ["", "a", "a,a", ",,", "a,b\x00c", "missing.txt"])
def test_labels_that_cannot_be_are_wrong_usage(tmp_path, labels):
    result = run(*import_arguments(write(tmp_path / "m.keras"), labels))

    assert result.exit_code == 2
    assert "--labels" in plain(result.stderr)


def test_an_import_that_does_not_fit_names_both_numbers(store, tmp_path):
    path = write(tmp_path / "m.keras")

    result = run(*import_arguments(path, "a,b"))

    assert result.exit_code == 1
    assert result.stderr == "error: Expected 2 outputs, one per label: a, b. Received: 3\n"
    assert store.names() == ["tiny"]


def test_the_module_runs_and_prints_nothing_but_its_answer(tmp_path):
    arguments = "-W", "error", "-m", "model_store", "list", "--json"
    done = python(*arguments, env={"HALFTONE_MODELS": str(tmp_path)})

    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
