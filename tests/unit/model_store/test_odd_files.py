"""Every odd file gets exactly what is written beside it, in bounded time and memory."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from child_programs import json_lines
from decoding_costs import WORST
from handmade_images import bmp
from odd_files import OddFile, measured, odd_files

from model_store.errors import ImageError
from model_store.pixels.decoding import open_image
from model_store.pixels.preprocessing import preprocess
from model_store.spec import ImageSpec

COSTS = Path(__file__).with_name("decoding_costs.py")
SPEC = ImageSpec.for_size(16, 16)


def outcome(data: bytes) -> str | tuple[int, int, int, int]:
    try:
        return measured(preprocess(data, SPEC))
    except ImageError as error:
        return type(error).__name__


def agrees(file: OddFile, received: str | tuple[int, ...]) -> bool:
    if isinstance(file.expected, str) or isinstance(received, str):
        return file.expected == received
    pairs = zip(file.expected, received, strict=True)
    return all(abs(wanted - got) <= file.tolerance for wanted, got in pairs)


def test_every_odd_file_gets_what_is_pinned_for_it() -> None:
    counts: Counter[str] = Counter()
    names: set[str] = set()
    wrong = []
    for file in odd_files():
        received = outcome(file.data)
        if not agrees(file, received):
            wrong.append(f"{file.name}: expected {file.expected}, received {received}")
        counts[received if isinstance(received, str) else "pixels"] += 1
        names.add(file.name)

    assert wrong == []
    assert len(names) == counts.total() >= 400
    assert min(counts.values()) > 15


@pytest.mark.parametrize("code", [b"\0\x02\0\0", b"\0\0"], ids=["jumps", "line ends"])
def test_bitmap_codes_that_no_encoder_needs_do_not_reach_the_decoder(code: bytes) -> None:
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
def test_odd_files_take_bounded_time_and_memory() -> None:
    measured = json_lines(COSTS, "odd")

    assert len(measured) >= 400
    check_costs(measured)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("name", WORST)
def test_the_worst_files_of_the_default_limits_take_bounded_time_and_memory(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(WORST[name]())
    measured = json_lines(COSTS, str(tmp_path / name))

    # The codes of that bitmap give no pixels; all others are decoded.
    assert measured[0]["outcome"] == ("pixels" if name != "bmp-run-lengths" else "UndecodableImage")
    check_costs(measured)
