import json
import shutil

import numpy as np
import pytest
from class_folders import write_classes
from data_sets import look
from PIL import Image

from training.data.findings_text import describe


def test_a_clean_folder_has_counts_and_no_warnings(tmp_path, cache):
    findings = look(write_classes(tmp_path / "data", {"a": 20, "b": 25}), cache)
    assert findings.counts == {"all": {"a": 20, "b": 25}}
    assert (findings.formats, findings.modes) == ({"PNG": 45}, {"L": 45})
    assert findings.sizes == {"16 x 12": 45}
    assert findings.warnings() == []
    assert "warnings: none" in describe(findings)


def test_duplicates_are_found_by_pixels_not_bytes(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 20, "b": 20})
    image = Image.open(root / "a" / "000.png")
    image.save(root / "a" / "same.bmp")
    image.save(root / "b" / "contradiction.webp", lossless=True)
    findings = look(root, cache)
    assert findings.duplicates == [["a/000.png", "a/same.bmp"]]
    assert findings.contradictions == [["a/000.png", "a/same.bmp", "b/contradiction.webp"]]
    assert findings.leaks == []


def test_images_in_two_splits_are_leaks(tmp_path, cache):
    root = tmp_path / "data"
    write_classes(root / "train", {"a": 20, "b": 20})
    write_classes(root / "test", {"a": 2, "b": 2}, seed=3)
    shutil.copy(root / "train/a/000.png", root / "test/a/leak.png")
    assert look(root, cache).leaks == [["train/a/000.png", "test/a/leak.png"]]


def test_how_the_folders_were_understood_is_said(tmp_path, cache):
    root = tmp_path / "data"
    for seed, split in enumerate(("train", "valid")):
        write_classes(root / "set" / split, {"a": 20, "b": 20}, seed=seed)
    (root / "set" / "read me.txt").write_text("hello")
    findings = look(root, cache)
    assert findings.counts == dict.fromkeys(("train", "val"), {"a": 20, "b": 20})
    assert findings.warnings() == [
        "The data set is the folder set, the only one there is.",
        "Left out, for they are in no class folder: set/read me.txt.",
    ]


def test_what_cannot_be_read_is_listed_with_the_reason_and_what_to_do(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 20, "b": 20})
    (root / "a" / "page.pdf").write_bytes(b"%PDF-1.7")
    Image.fromarray(np.eye(9, dtype=np.uint8) * 200).save(root / "a" / "x.jpg", format="PNG")
    findings = look(root, cache)
    assert list(findings.unreadable) == ["a/page.pdf"]
    said = findings.warnings()[0]
    assert said.startswith("Files that cannot be read, and are left out (1): a/page.pdf (")
    assert "PDF. It is a document: export its page as PNG." in said
    assert findings.wrong_extensions == {"a/x.jpg": "PNG"}  # content decides


@pytest.mark.parametrize(
    ("counts", "few", "words"),
    [({"a": 19, "b": 30}, {"a": 19}, "under 20"), ({"a": 90, "b": 22}, {}, "4.1 times")],
)
def test_few_images_and_imbalance_are_warnings(tmp_path, cache, counts, few, words):
    findings = look(write_classes(tmp_path / "data", counts), cache)
    told = json.loads(json.dumps(findings.as_json()))
    assert told["few"] == few
    assert told["warnings"] == findings.warnings()
    assert len(told["warnings"]) == 1
    assert words in told["warnings"][0]
