"""The service on a real port: against the baseline, and against what the processor allows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import measure
from benchmarks.load import Load, Requests, closed_loop, open_loop, raw_images
from benchmarks.machine import describe
from benchmarks.report import Bars, Goal, Report, Row
from benchmarks.samples import characters, jpegs, mean_kilobytes, multipart, photographs, pngs
from benchmarks.servers import Server, baseline, ours
from model_store.bundle import Bundle, open_model
from model_store.cpu import available_cpus
from model_store.preprocessing import preprocess

CLIENTS = 32
_SHARE_OF_SATURATION = 0.7
_SMALL = 64  # a side up to which images are drawings, and sent as PNG
_DIFFERENT = 32
_BOUNDARY = "halftone-benchmark"


@dataclass(frozen=True, slots=True)
class _Measured:
    alone: Load
    crowd: Load
    cpu_ms: float  # per request of the crowd
    memory_mb: Mapping[str, float]
    start_s: float


def run(bundle: Bundle, seconds: float) -> Report:
    """Load the baseline and the service, one after the other, on this machine."""
    size = (bundle.manifest.image.height, bundle.manifest.image.width)
    small = max(size) <= _SMALL
    images = (
        _normal(bundle, characters(_DIFFERENT, size)) if small else photographs(_DIFFERENT, size)
    )
    files = pngs(images) if small else jpegs(images)
    with baseline(bundle) as server:
        plain = _load(server, _in_forms(server, files), seconds)
    with ours(bundle):
        pass  # the first start compiles the engine and fills the file cache
    with ours(bundle) as server:
        fast = _load(server, raw_images(server.port, files), seconds)
        rate = _SHARE_OF_SATURATION * fast.crowd.per_second
        steady = open_loop(raw_images(server.port, files), rate, seconds)
    with ours(bundle, {"HALFTONE_WORKERS": "4"}) as server:
        closed_loop(raw_images(server.port, files), CLIENTS, seconds)
        four = server.memory_mb()
    limit = _limit_per_second(bundle, files, images, seconds)
    rows = [_row("FastAPI + model.predict", plain), _row("python -m app", fast)]
    kilobytes = mean_kilobytes(files)
    return Report(
        f"service-{size[0]}x{size[1]}",
        describe(),
        {
            f"{size[0]} × {size[1]}, files of {kilobytes:.2g} kB": rows,
            "Open loop": [
                {"what": f"{rate:.0f} requests/s", **steady.latency_ms, "failures": steady.failures}
            ],
            "Memory by workers, MB": [
                {"workers": 1, **fast.memory_mb},
                {"workers": 4, **four},
            ],
            "Limit": [{"what": "decode + forward on every CPU, images/s", "per second": limit}],
        },
        goals=_goals(plain, fast, steady, limit, digits=small),
        charts=[
            _chart("1 client", plain.alone, fast.alone),
            _chart(f"{CLIENTS} clients", plain.crowd, fast.crowd),
        ],
        notes=[
            "The baseline takes multipart forms, its only kind; the service raw bodies. The load "
            "comes from the same machine, and takes its share of the CPUs.",
        ],
    )


def _normal(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return drawings in the form that the model's own data have, as MNIST's images do."""
    return np.stack([preprocess(file, bundle.manifest.image) for file in pngs(images)])


def _load(server: Server, requests: Requests, seconds: float) -> _Measured:
    closed_loop(requests, 1, seconds / 4)  # warm-up
    alone = closed_loop(requests, 1, seconds)
    before = server.cpu_seconds()
    crowd = closed_loop(requests, CLIENTS, seconds)
    cpu_ms = 1000 * (server.cpu_seconds() - before) / crowd.requests
    return _Measured(alone, crowd, cpu_ms, server.memory_mb(), server.seconds_to_ready)


def _in_forms(server: Server, files: list[bytes]) -> Requests:
    bodies = [multipart(file, _BOUNDARY) for file in files]
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    return Requests("127.0.0.1", server.port, "/predict", kind, bodies)


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
    cpu_ms = decode.cpu_ms / len(files) + forward.cpu_ms / len(batch)
    return 1000 * available_cpus() / cpu_ms


def _row(name: str, measured: _Measured) -> Row:
    return {
        "service": name,
        "1 client, requests/s": measured.alone.per_second,
        "p50 ms": measured.alone.latency_ms["p50_ms"],
        "p99 ms": measured.alone.latency_ms["p99_ms"],
        f"{CLIENTS} clients, requests/s": measured.crowd.per_second,
        "failures": measured.alone.failures + measured.crowd.failures,
        "CPU ms per request": measured.cpu_ms,
        "resident MB": measured.memory_mb["rss_mb"],
        "start s": measured.start_s,
    }


def _goals(
    plain: _Measured, fast: _Measured, steady: Load, limit: float, *, digits: bool
) -> list[Goal]:
    one, many = fast.alone, fast.crowd
    p50 = one.latency_ms["p50_ms"]
    if digits:
        return [Goal("CPU time per request, 32 clients", fast.cpu_ms, 0.8, False, "ms")]
    return [
        Goal("1 client over the baseline", one.per_second / plain.alone.per_second, 10, True, "×"),
        Goal(
            "32 clients over the baseline", many.per_second / plain.crowd.per_second, 40, True, "×"
        ),
        Goal("32 clients, share of the limit", many.per_second / limit, 0.7, True),
        Goal("p99 over p50, 1 client", one.latency_ms["p99_ms"] / p50, 1.5, False, "×"),
        Goal(
            "p99 at 70 % of saturation over p50 alone",
            steady.latency_ms["p99_ms"] / p50,
            4,
            False,
            "×",
        ),
        Goal("resident memory", fast.memory_mb["rss_mb"], 450, False, "MB"),
        Goal("start to ready, files cached", fast.start_s, 2.5, False, "s"),
    ]


def _chart(title: str, plain: Load, fast: Load) -> Bars:
    rates = {"FastAPI + model.predict": plain.per_second, "python -m app": fast.per_second}
    return Bars(title, "requests/s", {"requests/s": rates})
