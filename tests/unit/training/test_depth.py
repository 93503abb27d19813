"""16-bit images that use a small part of their range are said, with the value to give."""

import json
from pathlib import Path

import pytest
from class_folders import HEIGHT, WIDTH, write_classes, write_deep
from typer.testing import CliRunner

from model_store.sources import open_labelled
from model_store.spec import ImageSpec
from training.__main__ import app
from training.data.cache import PixelCache
from training.data.check import Findings, inspect

SIZE = ["--height", str(HEIGHT), "--width", str(WIDTH)]
COUNTS = {"row": 30, "column": 30}


def look(root: Path, cache_root: Path, white: int = 65535) -> Findings:
    source = open_labelled(root)
    spec = ImageSpec.for_size(HEIGHT, WIDTH, depth16_max=white)
    return inspect(source, PixelCache(cache_root, spec).index(source, lambda _: None), spec)


@pytest.mark.parametrize(("bits", "offered"), [(8, 255), (12, 4095), (14, 16383)])
def test_a_small_part_of_the_range_is_said_with_the_scale(tmp_path, bits, offered):
    root = write_deep(tmp_path / "data", bits, COUNTS)
    said = look(root, tmp_path / "cache").warnings()

    expected = f"The largest value in 60 of the 16-bit images is {offered}, and white is 65535"
    assert any(one.startswith(expected) and f"--depth16-max {offered}." in one for one in said)
    assert look(root, tmp_path / "cache", white=offered).warnings() == []


def test_a_range_that_is_used_is_not_mentioned_unless_white_cuts_it(tmp_path):
    root = write_deep(tmp_path / "data", 15, COUNTS)
    said = look(root, tmp_path / "cache", white=4095).warnings()

    assert look(root, tmp_path / "cache").warnings() == []
    assert any("is 32767: what is above 4095 (--depth16-max) is white." in one for one in said)


def test_eight_bits_say_nothing_of_depth(tmp_path):
    root = write_classes(tmp_path / "data", {"row": 20, "column": 20})

    assert look(root, tmp_path / "cache").depth16 is None


def test_a_large_set_is_looked_at_in_part(tmp_path):
    root = write_deep(tmp_path / "data", 12, {"row": 120, "column": 120})
    depth = look(root, tmp_path / "cache").depth16

    assert depth is not None and (depth.looked_at, depth.largest) == (80, 4095)


def test_check_takes_the_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("HALFTONE_CACHE", str(tmp_path / "cache"))
    root = str(write_deep(tmp_path / "data", 12, COUNTS))
    checked = CliRunner().invoke(app, ["check", root, *SIZE, "--depth16-max", "4095", "--json"])

    assert json.loads(checked.stdout)["depth16"]["largest"] == 4095
