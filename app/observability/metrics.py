"""What Prometheus is told. Labels are bounded: routes, codes, and names that the store knows."""

import os
from collections.abc import Iterable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from app.loaded_model import LoadedModel
from app.pipeline import STAGES, Answer

# Seconds; a forward pass takes 0.1 to 60 ms, a large photo 25 to 80 ms to decode.
SECONDS = (
    *(0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
BATCH_SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128)
PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"


class Instruments:
    """All metrics of one process. With several workers their files are summed at each scrape."""

    def __init__(self) -> None:
        self._shared = MULTIPROCESS_DIR in os.environ
        self._registry = registry = CollectorRegistry()
        if not self._shared:
            ProcessCollector(registry=registry)
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        gauge = partial(Gauge, registry=registry)
        # Counters' names get the ending _total.
        self._requests = counter(
            "halftone_requests",
            "Requests by route template, status and model.",
            ("method", "route", "status", "model"),
        )
        self._refusals = counter(
            "halftone_refusals",
            "Requests, and images of batches, that were not answered, by problem code.",
            ("code",),
        )
        self._predicted = counter(
            "halftone_predicted", "Images by the most probable label.", ("model", "label")
        )
        self._loads = counter(
            "halftone_model_loads",
            "Versions that were loaded, or failed to.",
            ("model", "outcome"),
        )
        self._request_seconds = histogram(
            "halftone_request_seconds",
            "From the request's headers to its answer.",
            ("route",),
            buckets=SECONDS,
        )
        self._stage_seconds = histogram(
            "halftone_stage_seconds",
            "Time of an image in a stage.",
            ("model", "stage"),
            buckets=SECONDS,
        )
        self._batch_size = histogram(
            "halftone_batch_size",
            "Images in the batch that an image was computed in.",
            ("model",),
            buckets=BATCH_SIZES,
        )
        self._probability = histogram(
            "halftone_probability",
            "Probability of the most probable label.",
            ("model",),
            buckets=PROBABILITIES,
        )
        # The mode says how the gauges of several workers become one.
        self._info = gauge(
            "halftone_model_info",
            "1 for the version that serves.",
            ("model", "version", "engine"),
            multiprocess_mode="livemax",
        )
        self._depth = gauge(
            "halftone_queue_depth", "Images that wait.", ("model",), multiprocess_mode="livesum"
        )
        self._stuck = gauge(
            "halftone_engine_stuck_seconds",
            "Time without progress.",
            ("model",),
            multiprocess_mode="livemax",
        )
        self._drift = gauge(
            "halftone_drift",
            "Population stability index of incoming pixels against training's.",
            ("model", "statistic"),
            multiprocess_mode="livemax",
        )
        self._bytes = gauge(
            "halftone_bytes_in_flight", "Request bodies held.", multiprocess_mode="livesum"
        )
        self._ready = gauge(
            "halftone_ready", "1 if the process can predict.", multiprocess_mode="livemin"
        )

    def request(self, method: str, route: str, status: int, model: str, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, status, model).inc()
        self._request_seconds.labels(route).observe(seconds)

    def refused(self, code: str) -> None:
        """Count a request, or one image of a batch, that got a problem instead of an answer."""
        self._refusals.labels(code).inc()

    def answered(self, answer: Answer, total_s: float) -> None:
        """Count one image that was predicted."""
        model, timings = answer.served.name, answer.timings
        for stage, seconds in zip(STAGES, timings.stages_s, strict=True):
            self._stage_seconds.labels(model, stage).observe(seconds)
        self._stage_seconds.labels(model, "total").observe(total_s)
        self._batch_size.labels(model).observe(answer.batch_size)
        best = int(answer.probabilities.argmax())
        self._predicted.labels(model, answer.served.labels[best]).inc()
        self._probability.labels(model).observe(float(answer.probabilities[best]))

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
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # the library's, about a version that is no number
            encode, content_type = choose_encoder("")
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's
        return encode(registry), content_type
