"""The service on a real port beside those that other people would write, and its limit."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.endurance import overload, watch_memory
from benchmarks.load import Load, Requests, closed_loop, open_loop
from benchmarks.machine import measure
from benchmarks.report import Goal, Report, Row
from benchmarks.samples import (
    SIZE,
    characters,
    jpegs,
    multipart,
    notebooks_network,
    photographs,
    pngs,
)
from benchmarks.servers import (
    INSTALL_LITSERVE,
    Server,
    baseline,
    litserve,
    litserve_is_installed,
    ours,
)
from model_store.bundle import Bundle, open_model
from model_store.cpu import available_cpus
from model_store.pixels.preprocessing import preprocess

_CLIENTS = 32
_SMALL = 64  # a side up to which images are drawings, and sent as PNG
_DIFFERENT = 32
_BOUNDARY = "halftone-benchmark"
_ROUNDS = 3  # of which the medians count
_STEADY = 0.7  # of the most that is answered
_WORKERS = (1, 2, 4)

_PLAIN, _LITSERVE, _OURS = "FastAPI + model.predict", "LitServe, batches", "python -m app"
# What docs/operations.md recommends for small networks; LitServe's own documentation does, too.
_PER_CPU = f"{_OURS}, a worker per CPU"
_THIS, _NOTEBOOKS = "this network", "the notebook's network"


@dataclass(frozen=True, slots=True)
class _Contender:
    service: str
    network: str
    start: Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Medians of the rounds."""

    alone_per_second: float
    alone_p50_ms: float
    alone_p99_ms: float
    per_second: float
    failures: float
    cpu_ms: float  # per request of the crowd
    memory_mb: float
    start_s: float


_Results = dict[tuple[str, str], _Measured]  # by service and network


def run(bundle: Bundle, seconds: float, requests: int, reloads: int) -> Report:
    """Measure rates against other services, then overload, then memory.

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
    contenders = _contenders(bundle)
    compared = _compare(contenders, bundle, files, images, seconds)
    workers = _workers(bundle, files, seconds)
    overloaded = overload(bundle, files, seconds)
    return compared + workers + overloaded + watch_memory(bundle, files, requests, reloads)


def _normal(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return drawings in the form that the model's own data have, as MNIST's images do."""
    return np.stack([preprocess(file, bundle.manifest.image) for file in pngs(images)])


def _contenders(bundle: Bundle) -> list[_Contender]:
    networks = {_THIS: bundle}
    if (bundle.manifest.image.height, bundle.manifest.image.width) == SIZE:
        notebooks = notebooks_network()
        if bundle.folder != notebooks.folder:
            networks[_NOTEBOOKS] = notebooks
    peers = [(_PLAIN, baseline), (_OURS, ours)]
    if litserve_is_installed():
        peers.insert(1, (_LITSERVE, litserve))
    per_cpu = partial(ours, bundle, {"HALFTONE_WORKERS": str(available_cpus())})
    return [
        _Contender(_PER_CPU, _THIS, per_cpu),
        *(
            _Contender(service, network, partial(start, model))
            for network, model in networks.items()
            for service, start in peers
        ),
    ]


def _compare(
    contenders: Sequence[_Contender],
    bundle: Bundle,
    files: list[bytes],
    images: NDArray[np.uint8],
    seconds: float,
) -> Report:
    """Load one after the other, in rounds."""
    with ours(bundle):
        pass  # the first start compiles the engine and fills the file cache
    rounds = [[_load(one, files, seconds) for one in contenders] for _ in range(_ROUNDS)]
    medians = [
        _Measured(*(median(figures) for figures in zip(*map(astuple, measured), strict=True)))
        for measured in zip(*rounds, strict=True)
    ]
    results = {
        (one.service, one.network): measured
        for one, measured in zip(contenders, medians, strict=True)
    }
    per_cpu = contenders[0]
    rate = _STEADY * results[per_cpu.service, per_cpu.network].per_second
    with per_cpu.start() as server:
        sent = Requests.of(server.port, files)
        closed_loop(sent, _CLIENTS, seconds / 4)  # warm-up
        loads = [open_loop(sent, rate, seconds) for _ in range(_ROUNDS)]
    steady = sorted(loads, key=lambda load: load.latency_ms["p99_ms"])[_ROUNDS // 2]
    least_cpu_ms = _least_cpu_ms(bundle, files, images, seconds)
    height, width = images.shape[1:]
    title = f"{height} × {width}, files of {np.mean([*map(len, files)]) / 1000:.2g} kB"
    limit = 1000 * available_cpus() / least_cpu_ms
    notes = [
        f"Medians of {_ROUNDS} rounds. The other services take forms, their only kind; ours got "
        "raw bodies. The load comes from the same machine, and takes its share of the CPUs."
    ]
    if (_LITSERVE, _THIS) not in results:
        notes.append(f"LitServe is not installed here. To compare with it: {INSTALL_LITSERVE}")
    return Report(
        {
            title: [_row(*names, measured) for names, measured in results.items()],
            f"{per_cpu.service}: at random moments, 70 % of what 32 clients got": [
                {"requests/s": rate, **steady.latency_ms, "failures": steady.failures}
            ],
            "If every CPU did nothing but decode and multiply": [
                {"images/s": limit, "CPU ms per image": least_cpu_ms}
            ],
        },
        _goals(results, steady, least_cpu_ms, small=max(height, width) <= _SMALL),
        notes,
    )


def _load(contender: _Contender, files: list[bytes], seconds: float) -> _Measured:
    with contender.start() as server:
        sent = _requests(contender.service, server, files)
        closed_loop(sent, 1, seconds / 4)  # warm-up
        closed_loop(sent, _CLIENTS, seconds / 4)
        alone = closed_loop(sent, 1, seconds)
        before = server.cpu_seconds()
        crowd = closed_loop(sent, _CLIENTS, seconds)
        cpu_ms = 1000 * (server.cpu_seconds() - before) / crowd.requests
        return _Measured(
            alone.per_second,
            alone.latency_ms["p50_ms"],
            alone.latency_ms["p99_ms"],
            crowd.per_second,
            alone.failures + crowd.failures,
            cpu_ms,
            server.memory_mb(),
            server.seconds_to_ready,
        )


def _requests(service: str, server: Server, files: list[bytes]) -> Requests:
    if service == _OURS:
        return Requests.of(server.port, files)
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    return Requests.of(server.port, [multipart(file, _BOUNDARY) for file in files], kind)


def _least_cpu_ms(
    bundle: Bundle, files: list[bytes], images: NDArray[np.uint8], seconds: float
) -> float:
    """Return the CPU time of decoding one image and of its share of the best batch."""
    model = open_model(bundle)
    out = np.empty(images.shape[1:], np.uint8)
    decode = measure(
        lambda: [model.inputs(preprocess(file, model.spec, out=out)[np.newaxis]) for file in files],
        seconds / 2,
    )
    batch = model.inputs(images[: bundle.manifest.engines[model.engine_name].max_batch])
    forward = measure(lambda: model.infer(batch), seconds / 2)
    model.close()
    return decode.cpu_ms / len(files) + forward.cpu_ms / len(batch)


def _workers(bundle: Bundle, files: list[bytes], seconds: float) -> Report:
    """Load the service with one worker process and with several."""
    rows: list[Row] = []
    for workers in _WORKERS:
        with ours(bundle, {"HALFTONE_WORKERS": str(workers)}) as server:
            sent = Requests.of(server.port, files)
            closed_loop(sent, _CLIENTS, seconds / 4)  # warm-up
            before = server.cpu_seconds()
            crowd = closed_loop(sent, _CLIENTS, seconds)
            rows.append(
                {
                    "workers": workers,
                    "32 clients, requests/s": crowd.per_second,
                    "p99 ms": crowd.latency_ms["p99_ms"],
                    "CPU ms per request": 1000 * (server.cpu_seconds() - before) / crowd.requests,
                    "memory MB": server.memory_mb(),
                }
            )
    return Report({"Worker processes": rows}, [], [])


def _row(service: str, network: str, measured: _Measured) -> Row:
    return {
        "service": service,
        "network": network,
        "1 client, requests/s": measured.alone_per_second,
        "p50 ms": measured.alone_p50_ms,
        "p99 ms": measured.alone_p99_ms,
        f"{_CLIENTS} clients, requests/s": measured.per_second,
        "failures": measured.failures,
        "CPU ms per request": measured.cpu_ms,
        "memory MB": measured.memory_mb,
        "start s": measured.start_s,
    }


def _goals(results: _Results, steady: Load, least_cpu_ms: float, *, small: bool) -> list[Goal]:
    fast, one_worker = results[_PER_CPU, _THIS], results[_OURS, _THIS]
    if small:
        over = one_worker.cpu_ms / least_cpu_ms
        return [Goal("CPU per request, over decoding and multiplying alone", over, 6, False, "×")]
    share = fast.per_second * least_cpu_ms / (1000 * available_cpus())
    queued = steady.latency_ms["p99_ms"] / one_worker.alone_p50_ms
    what = "At 70 % of the most: the slowest of 100 over 1 client's median"
    return [
        *_ratios(results),
        Goal("Answers to 32 clients: share of what the CPUs allow", share, 0.7, True),
        Goal(what, queued, 4, False, "×"),
        Goal("Memory of the service", one_worker.memory_mb, 260, False, "MB"),
        Goal("Start to ready, its files read before", one_worker.start_s, 1.2, False, "s"),
    ]


def _ratios(results: _Results) -> list[Goal]:
    """Return our answers over those of other services and of the notebook's network."""
    fast = results[_PER_CPU, _THIS]
    over_many = {names: fast.per_second / other.per_second for names, other in results.items()}
    bounds = {(_PLAIN, _THIS): 35.0, (_LITSERVE, _THIS): 3.0, (_PLAIN, _NOTEBOOKS): 60.0}
    if (_OURS, _NOTEBOOKS) not in results:
        bounds = {(_PLAIN, _THIS): 40.0, (_LITSERVE, _THIS): 4.0}
    goals = [
        Goal(
            f"Answers to 32 clients: times {' of '.join(names)}", over_many[names], bound, True, "×"
        )
        for names, bound in bounds.items()
        if names in results
    ]
    if (_OURS, _NOTEBOOKS) in results:
        alone = results[_OURS, _THIS].alone_per_second
        over_one = alone / results[_PLAIN, _NOTEBOOKS].alone_per_second
        cpu = fast.cpu_ms / results[_OURS, _NOTEBOOKS].cpu_ms
        goals += [
            Goal(f"Answers to 1 client: times {_PLAIN} of {_NOTEBOOKS}", over_one, 20, True, "×"),
            Goal("CPU per request, over the notebook's network on this service", cpu, 0.55, False),
        ]
    return goals
