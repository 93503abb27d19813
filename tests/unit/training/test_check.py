import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from class_folders import write_classes
from PIL import Image

from model_store.sources import open_labelled
from training.data.cache import PixelCache
from training.data.check import Findings, inspect
from training.data.findings_text import describe


def look(root: Path, cache: PixelCache) -> Findings:
    source = open_labelled(root)
    return inspect(source, cache.index(source, lambda _: None), cache.spec)


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
    assert {split: sum(n.values()) for split, n in findings.counts.items()} == {
        "train": 40,
        "val": 40,
    }
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
    assert findings.warnings()[0].startswith("Files that cannot be read, and are left out (1): ")
    assert "PDF. It is a document: export its page as PNG." in findings.warnings()[0]
    assert findings.wrong_extensions == {"a/x.jpg": "PNG"}  # content decides


@pytest.mark.parametrize(
    ("counts", "words"), [({"a": 19, "b": 30}, "under 20"), ({"a": 90, "b": 22}, "4.1 times")]
)
def test_few_images_and_imbalance_are_warnings(tmp_path, cache, counts, words):
    warnings = look(write_classes(tmp_path / "data", counts), cache).warnings()
    assert len(warnings) == 1
    assert words in warnings[0]


def test_findings_are_plain_json(tmp_path, cache):
    findings = look(write_classes(tmp_path / "data", {"a": 3, "b": 3}), cache)
    assert json.loads(json.dumps(findings.as_json()))["few"] == {"a": 3, "b": 3}
