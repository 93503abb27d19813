"""`evaluate` tells images that a model was trained on from others, and names what it got wrong."""

import json
import shutil
from pathlib import Path

import click.testing
import pytest
from two_versions import IMAGES, SEEN, TwoVersions
from typer.testing import CliRunner

from training.__main__ import app


@pytest.fixture
def two(two_versions: TwoVersions, monkeypatch: pytest.MonkeyPatch) -> TwoVersions:
    """The two versions, of which the first serves."""
    monkeypatch.setenv("HALFTONE_MODELS", str(two_versions.store.root))
    two_versions.store.promote("tiny", 1)
    return two_versions


def evaluate(folder: Path, *options: str) -> click.testing.Result:
    result = CliRunner().invoke(app, ["evaluate", "tiny", str(folder), *options])
    assert result.exit_code == 0, result.stderr
    return result


def only(two: TwoVersions, names: set[str], folder: Path) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(two.folder / name, folder / name)
    return folder


def test_seen_and_unseen_images_are_measured_apart(two):
    record = json.loads(evaluate(two.folder, "--json").stdout)

    assert record["model"]["version"] == 1
    assert record["knows_its_images"] is True
    for figures, names in (
        (record, set(two.answers) - two.seen),
        (record["seen"], two.seen),
    ):
        assert figures["images"] == len(names)
        assert figures["accuracy"] == pytest.approx(1 - len(names & two.wrong) / len(names))
    assert record["images"] + record["seen"]["images"] == IMAGES
    assert "wrong" not in record


def test_images_it_was_trained_on_give_no_accuracy(two, tmp_path):
    folder = only(two, two.seen, tmp_path)
    record = json.loads(evaluate(folder, "--json").stdout)

    assert (record["accuracy"], record["loss"], record["images"]) == (None, None, None)
    assert record["seen"]["images"] == SEEN
    first, second = evaluate(folder).stdout.splitlines()
    assert first.startswith("The model was trained on every one of these images")
    assert f"trained on: {SEEN} of the images" in second


def test_a_copy_by_another_name_is_still_seen(two, tmp_path):
    name = min(two.seen)
    copy = tmp_path / name.partition("/")[0] / "another.png"
    copy.parent.mkdir()
    shutil.copy(two.folder / name, copy)
    assert json.loads(evaluate(tmp_path, "--json").stdout)["images"] is None


def test_a_bundle_that_does_not_say_counts_every_image_and_warns(two):
    two.store.promote("tiny", 2)
    record = json.loads(evaluate(two.folder, "--json").stdout)

    assert (record["images"], record["accuracy"], record["seen"]) == (IMAGES, 1, None)
    assert record["knows_its_images"] is False
    assert "does not say which images it was trained on" in evaluate(two.folder).stdout


def test_the_files_it_gets_wrong_are_named_most_confident_first(two):
    every = json.loads(evaluate(two.folder, "--json", "--wrong", "999").stdout)["wrong"]

    assert {one["name"] for one in every} == two.wrong
    assert all(one["answer"] == two.answers[one["name"]] for one in every)
    assert all(one["truth"] == one["name"].partition("/")[0] for one in every)
    confidences = [one["probability"] for one in every]
    assert confidences == sorted(confidences, reverse=True)

    shown = evaluate(two.folder, "--wrong", "2").stdout.splitlines()
    named = [line for line in shown if line.startswith("wrong: ")]
    assert [line.split()[1] for line in named] == [one["name"] for one in every[:2]]
    assert "wrong: " not in evaluate(two.folder).stdout


def test_an_unknown_label_is_an_error_that_names_it(two, tmp_path):
    only(two, {min(two.seen)}, tmp_path)
    shutil.copytree(tmp_path / min(two.seen).partition("/")[0], tmp_path / "zigzag")
    result = CliRunner().invoke(app, ["evaluate", "tiny", str(tmp_path)])
    assert result.exit_code == 1
    assert "zigzag" in result.stderr and result.stderr.startswith("error: ")


def test_a_test_split_by_another_name_is_what_is_judged(two, tmp_path):
    shutil.copytree(two.folder, tmp_path / "set" / "Eval")
    result = evaluate(tmp_path, "--json")

    record = json.loads(result.stdout)
    assert record["images"] + record["seen"]["images"] == IMAGES
    assert "warning: The data set is the folder set" in result.stderr
