"""The service with too much to do, and over many reloads."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.load import Load, Requests, closed_loop, open_loop
from benchmarks.report import Goal, Report, Row
from benchmarks.samples import two_versions
from benchmarks.servers import ours
from model_store.bundle import Bundle

_CLIENTS = 32
_UNLOADED = 0.1  # of the most that is answered
_PATIENCE = 3  # the deadline under overload, in 99th percentiles of the unloaded service
_OFFERED = (1, 2, 10)  # multiples of the most that is answered
_WANTED = {2: (0.9, 4), 10: (0.5, 6)}  # share of the most still answered; times the unloaded p99
_ROUND_SECONDS = 4  # longer than the service waits to look for a new version
_SETTLE_SECONDS = 2  # in which what the load and the old version held is given back


def overload(bundle: Bundle, files: list[bytes], seconds: float) -> Report:
    """Offer the service up to 10 times what it can answer; it has one CPU, the load the others.

    Raises:
        OSError: there is only one CPU, or the system cannot bind processes to them.
    """
    own, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise OSError("Expected at least 2 CPUs: one for the service, one for the load.")
    with _on({own}), ours(bundle) as server, _on(set(others)):
        sent = Requests.of(server.port, files)
        closed_loop(sent, _CLIENTS, seconds / 4)  # warm-up
        most = closed_loop(sent, _CLIENTS, seconds).per_second
        alone = open_loop(sent, _UNLOADED * most, seconds)
    unloaded_ms = alone.latency_ms["p99_ms"]
    deadline_ms = max(1, round(_PATIENCE * unloaded_ms))
    settings = {"HALFTONE_DEADLINE_MS": str(deadline_ms)}
    loads = {_UNLOADED: alone}
    with _on({own}), ours(bundle, settings) as server, _on(set(others)):
        sent = Requests.of(server.port, files)
        closed_loop(sent, _CLIENTS, seconds / 4)  # warm-up
        loads |= {times: open_loop(sent, times * most, seconds) for times in _OFFERED}
    rows = [_overload_row(times, load, most) for times, load in loads.items()]
    return Report(
        {f"Overload, HALFTONE_DEADLINE_MS={deadline_ms}": rows},
        _overload_goals(loads, most),
        [
            f"The most that one CPU answers: {most:.0f}/s, to {_CLIENTS} clients, each waiting for "
            "its answers. Under overload, latencies are those of answers, not of refusals."
        ],
    )


@contextmanager
def _on(cpus: set[int]) -> Iterator[None]:
    """Bind this process, and those it starts, to `cpus`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _overload_row(offered: float, load: Load, most: float) -> Row:
    return {
        "offered": f"{offered:g} ×",
        "requests/s": load.requests / load.seconds,
        "answered/s": load.per_second,
        "of the most": load.per_second / most,
        "refused": load.failures,
        **load.latency_ms,
    }


def _overload_goals(loads: Mapping[float, Load], most: float) -> list[Goal]:
    unloaded_ms = loads[_UNLOADED].latency_ms["p99_ms"]
    goals = []
    for times, (wanted, allowed) in _WANTED.items():
        share = loads[times].per_second / most
        later = loads[times].latency_ms["p99_ms"] / unloaded_ms
        much = f"Offered {times} times the most"
        goals += [
            Goal(f"{much}: share of the most still answered", share, wanted, True),
            Goal(f"{much}: the slowest of 100 over those without load", later, allowed, False, "×"),
        ]
    return goals


def watch_memory(bundle: Bundle, files: list[bytes], requests: int, reloads: int) -> Report:
    """Send `requests` in rounds; with each, the other of two versions becomes the current."""
    sent: list[int] = []
    resident: list[float] = []
    total = lost = 0
    with tempfile.TemporaryDirectory() as folder:
        store = two_versions(bundle, Path(folder))
        name = bundle.manifest.name
        with ours(store.bundle(name)) as server:
            load = Requests.of(server.port, files)
            for turn in range(1, reloads + 1):
                store.promote(name, 2 - turn % 2)
                while total < turn * requests / reloads:
                    done = closed_loop(load, _CLIENTS // 2, _ROUND_SECONDS)
                    total, lost = total + done.requests, lost + done.failures
                time.sleep(_SETTLE_SECONDS)
                sent.append(total)
                resident.append(server.memory_mb())
    settled = reloads // 4  # rounds after which buffers of every size exist
    slope = 1e5 * float(np.polyfit(sent[settled:], resident[settled:], 1)[0])
    row = {
        "requests": total,
        "reloads": reloads,
        "least MB": min(resident),
        "most MB": max(resident),
        "at the end MB": resident[-1],
        "MB per 100,000 requests": slope,
    }
    return Report(
        {"Memory under load, while new versions come": [row]},
        [
            Goal("Growth of memory over 100,000 requests", slope, 5, False, "MB"),
            Goal("Requests lost while versions change", lost, 0, False),
        ],
        ["The growth is a line through what came after the first quarter of the reloads."],
    )
