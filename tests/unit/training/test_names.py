"""Names that are not UTF-8, and names in two Unicode forms, from the disk to every output."""

import csv
import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from class_folders import HEIGHT, WIDTH, write_classes
from commands import python
from data_sets import look, split
from typer.testing import CliRunner

from model_store.comparing import label_index
from model_store.errors import InvalidLayout
from model_store.sources import open_labelled
from training.__main__ import app

LATIN = os.fsdecode(b"caf\xe9")
NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    """Class folders a and caf\xe9, with a broken image and two equal ones of such names."""
    root = write_classes(tmp_path / "data", {"a": 20, "b": 20})
    try:
        (root / "b").rename(root / LATIN)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (root / LATIN / f"{LATIN}.png").write_bytes(b"nothing")
    shutil.copy(root / LATIN / "000.png", root / LATIN / f"copy-{LATIN}.png")
    (root / f"{LATIN}.txt").write_text("beside")
    return root


def test_names_that_are_not_utf8_are_escaped_and_read(latin, cache):
    findings = look(latin, cache)

    assert split(latin, cache).labels == ["a", r"caf\xe9"]
    assert list(findings.unreadable) == [r"caf\xe9/caf\xe9.png"]
    assert findings.duplicates == [[r"caf\xe9/000.png", r"caf\xe9/copy-caf\xe9.png"]]
    assert findings.layout == [r"Left out, for they are in no class folder: caf\xe9.txt."]
    json.dumps(findings.as_json(), ensure_ascii=False).encode()  # raises on what is no Unicode


def test_check_prints_names_that_are_not_utf8(latin):
    size = "--height", HEIGHT, "--width", WIDTH
    env = {"HALFTONE_CACHE": str(latin.parent / "cache")}
    done = python("-m", "training", "check", latin, *size, env=env)

    assert done.returncode == 0, done.stderr
    assert r"caf\xe9/caf\xe9.png (Expected one of" in done.stdout


def test_one_such_name_does_not_cost_the_csv(latin, two_versions, tmp_path, monkeypatch):
    monkeypatch.setenv("HALFTONE_MODELS", str(two_versions.store.root))
    out = tmp_path / "out.csv"
    result = CliRunner().invoke(app, ["predict", "tiny", str(latin), "-o", str(out)])

    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 43
    assert {row["path"] for row in rows if row["error"]} == {r"caf\xe9.txt", r"caf\xe9/caf\xe9.png"}


def test_a_store_in_a_folder_whose_name_is_not_utf8(tmp_path):
    done = python("-m", "model_store", "list", env={"HALFTONE_MODELS": str(tmp_path / LATIN)})

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("caf\\udce9.\n")


def test_a_class_is_the_same_in_both_unicode_forms(tmp_path, cache):
    assert NFC != NFD
    write_classes(tmp_path / "train", {"a": 10, NFC: 10})
    write_classes(tmp_path / "test", {"a": 3, NFD: 3}, seed=5)
    data = split(tmp_path, cache)

    assert data.labels == ["a", NFC]
    assert len(data.test) == 6


def test_a_model_knows_its_labels_in_both_forms(tmp_path):
    for folder in (NFC, NFD):
        source = open_labelled(write_classes(tmp_path / folder, {"a": 1, folder: 1}))
        for labels in (("a", NFC), ("a", NFD)):
            assert label_index(source, [0, 1], labels) == {"a": 0, NFC: 1}
    with pytest.raises(InvalidLayout, match="Received also: a"):
        label_index(source, [0, 1], [NFC, "b"])
