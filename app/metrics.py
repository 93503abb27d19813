"""What Prometheus is told. Labels are bounded: routes, codes, and names that the store knows."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from app.loaded_model import LoadedModel
from app.pipeline import Answer

# Seconds; a forward pass takes 0.1 to 60 ms, a large photo 25 to 80 ms to decode.
SECONDS = (
    *(0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
BATCH_SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128)
PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
# How the gauges of several workers become one.
GaugeMode = Literal["livemin", "livemax", "livesum"]
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class _ModelMetrics:
    """The histograms of one model; looking them up by label costs more than observing."""

    decode: Histogram
    queue: Histogram
    inference: Histogram
    total: Histogram
    batch_size: Histogram
    probability: Histogram


class Metrics:
    """All metrics of one process. With several workers their files are summed at each scrape."""

    def __init__(self) -> None:
        self._shared = MULTIPROCESS_DIR in os.environ
        self._registry = registry = CollectorRegistry()
        if not self._shared:
            ProcessCollector(registry=registry)
        self._request_counters: dict[tuple[str, str, int, str], Counter] = {}
        self._route_histograms: dict[str, Histogram] = {}
        self._model_metrics: dict[str, _ModelMetrics] = {}
        self._requests = Counter(
            "halftone_requests",
            "Requests by route template, status and model.",
            ("method", "route", "status", "model"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "halftone_request_seconds",
            "From the request's headers to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self._refusals = Counter(
            "halftone_refusals",
            "Requests, and images of batches, that were not answered, by problem code.",
            ("code",),
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "halftone_stage_seconds",
            "Time of an image in a stage.",
            ("model", "stage"),
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_size = Histogram(
            "halftone_batch_size",
            "Images in the batch that an image was computed in.",
            ("model",),
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self._predicted = Counter(
            "halftone_predicted",
            "Images by the most probable label.",
            ("model", "label"),
            registry=registry,
        )
        self._probability = Histogram(
            "halftone_probability",
            "Probability of the most probable label.",
            ("model",),
            buckets=PROBABILITIES,
            registry=registry,
        )
        self._loads = Counter(
            "halftone_model_loads",
            "Versions that were loaded, or failed to.",
            ("model", "outcome"),
            registry=registry,
        )
        self._info = _gauge("model_info", "1 for the version that serves.", registry, "livemax", (
            "model", "version", "engine",
        ))  # fmt: skip
        self._depth = _gauge("queue_depth", "Images that wait.", registry, "livesum", ("model",))
        self._stuck = _gauge(
            "engine_stuck_seconds", "Time without progress.", registry, "livemax", ("model",)
        )
        self._drift = _gauge(
            "drift",
            "Population stability index of incoming pixels against training's.",
            registry,
            "livemax",
            ("model", "statistic"),
        )
        self._bytes = _gauge("bytes_in_flight", "Request bodies held.", registry, "livesum")
        self._ready = _gauge("ready", "1 if the process can predict.", registry, "livemin")

    def request(self, method: str, route: str, status: int, model: str, seconds: float) -> None:
        """Count one request."""
        key = (method, route, status, model)
        counter = self._request_counters.get(key)
        if counter is None:
            counter = self._requests.labels(method, route, str(status), model)
            self._request_counters[key] = counter
        counter.inc()
        self._of_route(route).observe(seconds)

    def _of_route(self, route: str) -> Histogram:
        histogram = self._route_histograms.get(route)
        if histogram is None:
            histogram = self._route_histograms[route] = self._request_seconds.labels(route)
        return histogram

    def _of_model(self, name: str) -> "_ModelMetrics":
        found = self._model_metrics.get(name)
        if found is None:
            stage = self._stage_seconds
            found = self._model_metrics[name] = _ModelMetrics(
                decode=stage.labels(name, "decode"),
                queue=stage.labels(name, "queue"),
                inference=stage.labels(name, "inference"),
                total=stage.labels(name, "total"),
                batch_size=self._batch_size.labels(name),
                probability=self._probability.labels(name),
            )
        return found

    def refused(self, code: str) -> None:
        """Count a request, or one image of a batch, that got a problem instead of an answer."""
        self._refusals.labels(code).inc()

    def answered(self, answer: Answer, total_s: float) -> None:
        """Count one image that was predicted."""
        model, timings = self._of_model(answer.served.name), answer.timings
        model.decode.observe(timings.decode_ms / 1000)
        model.queue.observe(timings.queue_ms / 1000)
        model.inference.observe(timings.inference_ms / 1000)
        model.total.observe(total_s)
        model.batch_size.observe(answer.batch_size)
        best = int(answer.probabilities.argmax())
        self._predicted.labels(answer.served.name, answer.served.labels[best]).inc()
        model.probability.observe(float(answer.probabilities[best]))

    def loaded(self, served: LoadedModel, previous: LoadedModel | None) -> None:
        """Count a version that serves from now on, instead of `previous`."""
        self._loads.labels(served.name, "ok").inc()
        if previous is not None:
            self._info.labels(previous.name, previous.version, previous.engine_name).set(0)
        self._info.labels(served.name, served.version, served.engine_name).set(1)

    def failed_to_load(self, name: str) -> None:
        """Count a version that cannot serve."""
        self._loads.labels(name, "failed").inc()

    def sample(
        self, models: Iterable[LoadedModel], *, bytes_in_flight: int, is_ready: bool
    ) -> None:
        """Set the gauges."""
        self._bytes.set(bytes_in_flight)
        self._ready.set(is_ready)
        for served in models:
            self._depth.labels(served.name).set(served.queue.depth)
            self._stuck.labels(served.name).set(served.queue.stuck_s())
            for statistic, score in served.drift_scores().items():
                self._drift.labels(served.name, statistic).set(score)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition of all workers' metrics, and its content type."""
        encode, content_type = choose_encoder(accept)
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's
        return encode(registry), content_type


def _gauge(
    name: str, text: str, registry: CollectorRegistry, mode: GaugeMode, labels: tuple[str, ...] = ()
) -> Gauge:
    return Gauge(f"halftone_{name}", text, labels, registry=registry, multiprocess_mode=mode)
