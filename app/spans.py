"""OpenTelemetry spans of a request and of its images' stages, made when the request is over.

All moments are known by then, so spans are made with explicit times in this one place, instead of
around every stage.
"""

import threading
import time
from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import app
from app.pipeline import Answer, Timings
from app.tracing import FinishedRequest

# A collector that does not answer must not hold up the end of the process.
CLOSE_SECONDS = 3.0
PARENT_HEADERS = frozenset({b"traceparent", b"tracestate"})
NANOSECONDS = 1_000_000_000

_propagator = TraceContextTextMapPropagator()


class Spans:
    """Turns finished requests into spans.

    Args:
        provider: where they go.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("halftone", app.__version__)

    def record(self, request: FinishedRequest) -> None:
        """Make the spans of one request that ends now."""
        ended_ns = time.time_ns()
        clock_ns = ended_ns - time.monotonic_ns()  # from the stages' clock to the spans'
        elapsed_s = time.perf_counter() - request.started_at
        span = self._tracer.start_span(
            request.method if request.route == "unmatched" else f"{request.method} {request.route}",
            context=parent_of(request.headers),
            kind=SpanKind.SERVER,
            start_time=ended_ns - round(elapsed_s * NANOSECONDS),
            attributes={
                "http.request.method": request.method,
                "http.route": request.route,
                "http.response.status_code": request.status,
                "halftone.request_id": request.request_id,
            },
        )
        if span.is_recording():  # or it was not sampled
            self._describe(span, request, ended_ns, clock_ns)
        span.end(ended_ns)

    def close(self) -> None:
        """Send what was collected, if the collector takes it soon."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _describe(self, span: Span, request: FinishedRequest, ended_ns: int, clock_ns: int) -> None:
        if request.code is not None:
            span.set_attribute("error.type", request.code)
        if request.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        context = set_span_in_context(span, Context())
        for image, answer in enumerate(request.answers):
            if isinstance(answer, Answer):
                span.set_attribute("halftone.model", answer.served.name)
                span.set_attribute("halftone.version", answer.served.version)
                self._record_stages(context, clock_ns, image, answer)
            else:
                span.add_event(
                    "image refused",
                    {"halftone.image": image, "error.type": type(answer).__name__},
                    timestamp=ended_ns,
                )

    def _record_stages(self, context: Context, clock_ns: int, image: int, answer: Answer) -> None:
        for name, waits_for, start_s, end_s in stages(answer.timings):
            attributes: dict[str, str | int] = {"halftone.image": image}
            if waits_for:
                attributes["halftone.waits_for"] = waits_for
            if name == "inference":
                attributes["halftone.batch_size"] = answer.batch_size
            self._tracer.start_span(
                name,
                context,
                start_time=clock_ns + round(start_s * NANOSECONDS),
                attributes=attributes,
            ).end(clock_ns + round(end_s * NANOSECONDS))


def exporting_spans() -> Spans:
    """Return spans that go to the collector that the OTEL_* variables name."""
    own = Resource({"service.name": "halftone", "service.version": app.__version__})
    resource = Resource.create().merge(own).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider)


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """Return the caller's span, as W3C Trace Context says; empty if there is none."""
    carrier = {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in headers
        if name in PARENT_HEADERS
    }
    return _propagator.extract(carrier, Context())


def stages(timings: Timings) -> Iterable[tuple[str, str, float, float]]:
    """Return (stage, what it waits for, start, end) of one image, in monotonic seconds."""
    return (
        ("queue", "decode thread", timings.accepted_at, timings.decode_at),
        ("decode", "", timings.decode_at, timings.queued_at),
        ("queue", "engine", timings.queued_at, timings.started_at),
        ("inference", "", timings.started_at, timings.finished_at),
    )
