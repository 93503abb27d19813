"""Every odd file gets exactly what is written beside it, in bounded time and memory."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from child_programs import json_lines
from decoding_costs import WORST
from handmade_images import bmp

from model_store.pixels.decoding import open_image

COSTS = Path(__file__).with_name("decoding_costs.py")


@pytest.fixture(scope="module")
def odd() -> list[dict[str, Any]]:
    """What is pinned for every odd file, what became of it, and what that cost."""
    return json_lines(COSTS, "odd")


def agrees(file: dict[str, Any]) -> bool:
    expected, received = file["expected"], file["outcome"]
    if isinstance(expected, str) or isinstance(received, str):
        return bool(expected == received)
    pairs = zip(expected, received, strict=True)
    return all(abs(wanted - got) <= file["tolerance"] for wanted, got in pairs)


def test_every_odd_file_gets_what_is_pinned_for_it(odd):
    outcomes = [file["outcome"] for file in odd]
    counts = Counter(one if isinstance(one, str) else "pixels" for one in outcomes)

    assert [file for file in odd if not agrees(file)] == []
    assert len({file["name"] for file in odd}) == counts.total() >= 400
    assert min(counts.values()) > 15


@pytest.mark.parametrize("code", [b"\0\x02\0\0", b"\0\0"], ids=["jumps", "line ends"])
def test_bitmap_codes_that_no_encoder_needs_do_not_reach_the_decoder(code):
    data = bmp(100, 100, 8, code * 1_000_000, palette=[(0, 0, 0)], compression=1)
    image, _ = open_image(data, "BMP", max_pixels=10_000)

    assert len(image.fp.read()) < 25_000 < 1_000_000 < len(data)


# The stated bound: docs/reliability.md. What the allocator keeps comes on top.
BYTES_PER_PIXEL = 20
TIMES_THE_FILE = 3
SPARE_BYTES = 32_000_000
# Of one thread's processor time, several times what it takes on a slow machine.
MOST_SECONDS = 20.0


def check_costs(measured: list[dict[str, Any]]) -> None:
    too_much = [
        cost
        for cost in measured
        if cost["cpu_s"] > MOST_SECONDS
        or cost["peak_bytes"]
        > BYTES_PER_PIXEL * cost["pixels"] + TIMES_THE_FILE * cost["file_bytes"] + SPARE_BYTES
    ]
    assert too_much == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_odd_files_take_bounded_time_and_memory(odd):
    assert len(odd) >= 400
    check_costs(odd)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("name", WORST)
def test_the_worst_files_of_the_default_limits_take_bounded_time_and_memory(name, tmp_path):
    (tmp_path / name).write_bytes(WORST[name]())
    measured = json_lines(COSTS, str(tmp_path / name))

    # The codes of that bitmap give no pixels; all others are decoded.
    assert (measured[0]["outcome"] == "UndecodableImage") == (name == "bmp-run-lengths")
    check_costs(measured)
