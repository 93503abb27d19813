"""More than the service can do: how much of it is still done, and how long that takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.load import Load, closed_loop, open_loop, raw_images
from benchmarks.machine import describe
from benchmarks.report import Bars, Goal, Report, Row
from benchmarks.samples import jpegs, photographs
from benchmarks.servers import Server, ours
from model_store.bundle import Bundle

_DIFFERENT = 32
_CLIENTS = 32
_UNLOADED = 0.1  # of the most that is answered
_PATIENCE = 3  # the deadline, in 99th percentiles of the unloaded service
_OFFERED = (1, 2, 10)  # multiples of the most that is answered
_WANTED = {2: 0.9, 10: 0.8}  # share of it that shall still be answered


def run(bundle: Bundle, seconds: float) -> Report:
    """Offer the service up to 10 times what it can answer; it has one CPU, the load the others.

    Raises:
        OSError: there is only one CPU, or the system cannot bind processes to them.
    """
    files = jpegs(
        photographs(_DIFFERENT, (bundle.manifest.image.height, bundle.manifest.image.width))
    )
    own, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise OSError("Expected at least 2 CPUs: one for the service, one for the load.")
    with _on({own}), ours(bundle) as server, _on(set(others)):
        most = _most(server, files, seconds)
        alone = open_loop(raw_images(server.port, files), _UNLOADED * most, seconds)
    deadline_ms = _PATIENCE * alone.latency_ms["p99_ms"]
    settings = {"HALFTONE_DEADLINE_MS": f"{deadline_ms:.0f}"}
    with _on({own}), ours(bundle, settings) as server, _on(set(others)):
        _most(server, files, seconds)  # warm-up
        loads = {
            times: open_loop(raw_images(server.port, files), times * most, seconds)
            for times in _OFFERED
        }
    rows = [_row(_UNLOADED, alone, most)]
    rows += [_row(times, load, most) for times, load in loads.items()]
    answered = {f"{times} ×": load.per_second for times, load in loads.items()}
    return Report(
        "overload",
        describe(),
        {f"Overload, deadline {deadline_ms:.0f} ms": rows},
        goals=[
            goal
            for times in _WANTED
            for goal in _goals(times, loads[times], most, alone.latency_ms["p99_ms"])
        ],
        charts=[Bars("Answered, by multiples of the most", "answers/s", {"answers/s": answered})],
        notes=[
            f"The most that is answered: {most:.0f}/s, by {_CLIENTS} clients, each waiting for its "
            "answers. Latencies are those of answers, not of refusals. The service is bound to one "
            "CPU; the load comes from another."
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


def _most(server: Server, files: list[bytes], seconds: float) -> float:
    return closed_loop(raw_images(server.port, files), _CLIENTS, seconds).per_second


def _row(offered: float, load: Load, most: float) -> Row:
    return {
        "offered": f"{offered:g} ×",
        "requests/s": load.requests / load.seconds,
        "answered/s": load.per_second,
        "of the most": load.per_second / most,
        "refused": load.failures,
        **load.latency_ms,
    }


def _goals(times: int, load: Load, most: float, unloaded_p99_ms: float) -> list[Goal]:
    return [
        Goal(f"answered at {times} times the most", load.per_second / most, _WANTED[times], True),
        Goal(
            f"p99 of answers at {times} times, over unloaded",
            load.latency_ms["p99_ms"] / unloaded_p99_ms,
            4,
            False,
            "×",
        ),
    ]
