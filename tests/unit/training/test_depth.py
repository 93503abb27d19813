"""16-bit images that use a small part of their range are said, with the value to give."""

import json

import pytest
from class_folders import HEIGHT, WIDTH, write_classes, write_deep
from data_sets import look
from typer.testing import CliRunner

from model_store.spec import MAX_16, ImageSpec
from training.__main__ import app
from training.data.cache import PixelCache

SIZE = ["--height", str(HEIGHT), "--width", str(WIDTH)]
COUNTS = {"row": 30, "column": 30}
DARK = "The largest value in 60 of the 16-bit images is {0}, and white is 65535: they are dark"
OFFERED = "If theirs is {0}, give --depth16-max {0}."
CUT = "is 32767: what is above 4095 (--depth16-max) is white."


@pytest.mark.parametrize(
    ("bits", "white", "words"),
    [
        *((bits, MAX_16, (DARK, OFFERED)) for bits in (8, 12, 14)),
        *((bits, 2**bits - 1, ()) for bits in (8, 12, 14)),
        (15, MAX_16, ()),
        (15, 4095, (CUT,)),
    ],
)
def test_a_range_that_is_hardly_used_or_cut_is_said(tmp_path, bits, white, words):
    spec = ImageSpec.for_size(HEIGHT, WIDTH, depth16_max=white)
    root = write_deep(tmp_path / "data", bits, COUNTS)
    said = look(root, PixelCache(tmp_path / "cache", spec)).warnings()

    expected = [word.format(2**bits - 1) for word in words]
    assert [word for word in expected if not any(word in one for one in said)] == []
    assert words or said == []


def test_eight_bits_say_nothing_of_depth(tmp_path, cache):
    assert look(write_classes(tmp_path / "data", {"row": 20, "column": 20}), cache).depth16 is None


def test_check_takes_the_scale_and_looks_at_a_part_of_a_large_set(tmp_path, monkeypatch):
    monkeypatch.setenv("HALFTONE_CACHE", str(tmp_path / "cache"))
    root = str(write_deep(tmp_path / "data", 12, {"row": 120, "column": 120}))
    checked = CliRunner().invoke(app, ["check", root, *SIZE, "--depth16-max", "4095", "--json"])

    depth = {"looked_at": 80, "largest": 4095, "white": 4095}
    assert json.loads(checked.stdout)["depth16"] == depth
