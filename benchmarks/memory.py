"""Whether memory grows: many requests, and new versions all the while."""

import time
from pathlib import Path

import numpy as np

from benchmarks.load import closed_loop, raw_images
from benchmarks.machine import describe
from benchmarks.models import MADE_UP, SIZE, two_versions
from benchmarks.report import Goal, Report, Row
from benchmarks.samples import jpegs, photographs
from benchmarks.servers import ours

_CLIENTS = 16
_DIFFERENT = 32
_SETTLE_SECONDS = 2  # in which what the load and the old version held is given back
_SETTLED = 5  # rounds after which buffers of every size exist
_ROUNDS = 20
_SECONDS = 4  # longer than the service waits to look for a new version


def run(scratch: Path, requests: int) -> Report:
    """Send `requests` in 20 rounds; with each, the other of two versions becomes the current."""
    store = two_versions(scratch)
    bundle = store.bundle(MADE_UP)
    files = jpegs(photographs(_DIFFERENT, SIZE))
    sent: list[int] = []
    resident: list[float] = []
    total = lost = 0
    with ours(bundle) as server:
        to_send = raw_images(server.port, files)
        for turn in range(_ROUNDS):
            store.promote(MADE_UP, 1 + turn % 2)
            while total < (turn + 1) * requests / _ROUNDS:
                load = closed_loop(to_send, _CLIENTS, _SECONDS)
                lost += load.failures
                total += load.requests
            time.sleep(_SETTLE_SECONDS)
            sent.append(total)
            resident.append(server.memory_mb()["rss_mb"])
    rows: list[Row] = [
        {"reload": turn, "requests": count, "resident MB": size}
        for turn, (count, size) in enumerate(zip(sent, resident, strict=True), 1)
    ]
    slope = float(np.polyfit(sent[_SETTLED:], resident[_SETTLED:], 1)[0])
    return Report(
        "memory",
        describe(),
        {f"Memory over {_ROUNDS} reloads": rows},
        goals=[
            Goal("growth of memory per 100,000 requests", 1e5 * slope, 5, False, "MB"),
            Goal("requests lost over the reloads", lost, 0, False),
        ],
        notes=[f"The growth is a line through what came after round {_SETTLED}."],
    )
