"""The service on a real port: beside the usual one, with too much to do, and over many reloads."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import Load, Requests, closed_loop, open_loop
from benchmarks.machine import measure
from benchmarks.report import Goal, Report, Row
from benchmarks.samples import characters, jpegs, multipart, photographs, pngs, two_versions
from benchmarks.servers import Server, baseline, ours
from model_store.bundle import Bundle, open_model
from model_store.cpu import available_cpus
from model_store.pixels.preprocessing import preprocess

_CLIENTS = 32
_SMALL = 64  # a side up to which images are drawings, and sent as PNG
_DIFFERENT = 32
_BOUNDARY = "halftone-benchmark"
_STEADY = 0.7  # of the most that is answered
_UNLOADED = 0.1
_PATIENCE = 3  # the deadline under overload, in 99th percentiles of the unloaded service
_OFFERED = (1, 2, 10)  # multiples of the most that is answered
_WANTED = {2: 0.9, 10: 0.8}  # share of the most that shall still be answered
_ROUND_SECONDS = 4  # longer than the service waits to look for a new version
_SETTLE_SECONDS = 2  # in which what the load and the old version held is given back


@dataclass(frozen=True, slots=True)
class _Measured:
    alone: Load
    crowd: Load
    cpu_ms: float  # per request of the crowd
    memory_mb: float
    start_s: float


def run(bundle: Bundle, seconds: float, requests: int, reloads: int) -> Report:
    """Measure rates against the baseline, then overload, then memory.

    Args:
        bundle: what is served.
        seconds: per figure.
        requests: over which memory is watched.
        reloads: of a new version, spread over them.

    Raises:
        OSError: there is only one CPU, or the system cannot bind processes to them.
    """
    size = (bundle.manifest.image.height, bundle.manifest.image.width)
    small = max(size) <= _SMALL
    images = (
        _normal(bundle, characters(_DIFFERENT, size)) if small else photographs(_DIFFERENT, size)
    )
    files = pngs(images) if small else jpegs(images)
    compared = _compare(bundle, files, images, seconds)
    overloaded = _overload(bundle, files, seconds)
    return compared + overloaded + _watch_memory(bundle, files, requests, reloads)


def _normal(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return drawings in the form that the model's own data have, as MNIST's images do."""
    return np.stack([preprocess(file, bundle.manifest.image) for file in pngs(images)])


def _compare(
    bundle: Bundle, files: list[bytes], images: NDArray[np.uint8], seconds: float
) -> Report:
    """Load the baseline and the service, one after the other."""
    forms = [multipart(file, _BOUNDARY) for file in files]
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    with baseline(bundle) as server:
        plain = _load(server, Requests.of(server.port, forms, kind), seconds)
    with ours(bundle):
        pass  # the first start compiles the engine and fills the file cache
    with ours(bundle) as server:
        sent = Requests.of(server.port, files)
        fast = _load(server, sent, seconds)
        rate = _STEADY * fast.crowd.per_second
        steady = open_loop(sent, rate, seconds)
    limit = _limit_per_second(bundle, files, images, seconds)
    height, width = images.shape[1:]
    title = f"{height} × {width}, files of {np.mean([*map(len, files)]) / 1000:.2g} kB"
    steady_row = {"requests/s": rate, **steady.latency_ms, "failures": steady.failures}
    return Report(
        {
            title: [_row("FastAPI + model.predict", plain), _row("python -m app", fast)],
            "At random moments, 70 % of what 32 clients got": [steady_row],
            "If every CPU did nothing but decode and multiply": [{"images/s": limit}],
        },
        _goals(plain, fast, steady, limit, small=max(height, width) <= _SMALL),
        [
            "The usual service takes forms, its only kind; ours got raw bodies. The load comes "
            "from the same machine, and takes its share of the CPUs."
        ],
    )


def _load(server: Server, requests: Requests, seconds: float) -> _Measured:
    closed_loop(requests, 1, seconds / 4)  # warm-up
    alone = closed_loop(requests, 1, seconds)
    before = server.cpu_seconds()
    crowd = closed_loop(requests, _CLIENTS, seconds)
    cpu_ms = 1000 * (server.cpu_seconds() - before) / crowd.requests
    return _Measured(alone, crowd, cpu_ms, server.memory_mb(), server.seconds_to_ready)


def _limit_per_second(
    bundle: Bundle, files: list[bytes], images: NDArray[np.uint8], seconds: float
) -> float:
    """Return images/s if every CPU did nothing but decode and multiply, at the best batch size."""
    model = open_model(bundle)
    out = np.empty(images.shape[1:], np.uint8)
    decode = measure(lambda: [preprocess(file, model.spec, out=out) for file in files], seconds / 2)
    batch = images[: bundle.manifest.engines[model.engine_name].max_batch]
    forward = measure(lambda: model.predict(batch), seconds / 2)
    model.close()
    return 1000 * available_cpus() / (decode.cpu_ms / len(files) + forward.cpu_ms / len(batch))


def _row(name: str, measured: _Measured) -> Row:
    return {
        "service": name,
        "1 client, requests/s": measured.alone.per_second,
        "p50 ms": measured.alone.latency_ms["p50_ms"],
        "p99 ms": measured.alone.latency_ms["p99_ms"],
        f"{_CLIENTS} clients, requests/s": measured.crowd.per_second,
        "failures": measured.alone.failures + measured.crowd.failures,
        "CPU ms per request": measured.cpu_ms,
        "resident MB": measured.memory_mb,
        "start s": measured.start_s,
    }


def _goals(
    plain: _Measured, fast: _Measured, steady: Load, limit: float, *, small: bool
) -> list[Goal]:
    if small:
        return [Goal("CPU time that one request takes", fast.cpu_ms, 0.8, False, "ms")]
    one, many = fast.alone, fast.crowd
    p50, p99 = one.latency_ms["p50_ms"], one.latency_ms["p99_ms"]
    over_one = one.per_second / plain.alone.per_second
    over_many = many.per_second / plain.crowd.per_second
    queued = steady.latency_ms["p99_ms"] / p50
    return [
        Goal("Answers to 1 client: times those of the usual service", over_one, 10, True, "×"),
        Goal("Answers to 32 clients: times those of the usual service", over_many, 40, True, "×"),
        Goal(
            "Answers to 32 clients: share of what the CPUs allow",
            many.per_second / limit,
            0.7,
            True,
        ),
        Goal("1 client: the slowest of 100 over the median", p99 / p50, 1.5, False, "×"),
        Goal(
            "At 70 % of the most: the slowest of 100 over 1 client's median", queued, 4, False, "×"
        ),
        Goal("Memory of the service", fast.memory_mb, 450, False, "MB"),
        Goal("Start to ready, its files read before", fast.start_s, 2.5, False, "s"),
    ]


def _overload(bundle: Bundle, files: list[bytes], seconds: float) -> Report:
    """Offer the service up to 10 times what it can answer; it has one CPU, the load the others."""
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
    for times, wanted in _WANTED.items():
        share = loads[times].per_second / most
        later = loads[times].latency_ms["p99_ms"] / unloaded_ms
        much = f"Offered {times} times the most"
        goals += [
            Goal(f"{much}: share of the most still answered", share, wanted, True),
            Goal(f"{much}: the slowest of 100 over those without load", later, 4, False, "×"),
        ]
    return goals


def _watch_memory(bundle: Bundle, files: list[bytes], requests: int, reloads: int) -> Report:
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
