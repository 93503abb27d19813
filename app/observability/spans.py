"""OpenTelemetry spans of a request and of its images' stages, made when the request is over.

All moments are known by then, so that this one place makes them all. OpenTelemetry's own ASGI
instrumentation would keep the query and the client's address, which are nobody's business, and
could not leave out just those probes that went well.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

import app
from app.pipeline import Answer

# A collector that does not answer must not hold up the end of the process.
CLOSE_SECONDS = 3.0

_propagator = TraceContextTextMapPropagator()


class Spans:
    """Turns requests that are over into spans.

    Args:
        provider: where they go.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("halftone", app.__version__)

    def request(self, method: str, route: str, status: int, scope: Mapping[str, Any]) -> None:
        """Make the spans of one request that ends now; never waits.

        Args:
            method: one that the service knows, or "other".
            route: the template, or "unmatched".
            status: HTTP status; 499 where the client has gone.
            scope: ASGI's; its state holds the `request_id`, when the request was `started_at` in
                monotonic seconds, and where there are any, the `code` of the problem and the
                `answers`, one per image.
        """
        state, ended_ns = scope["state"], time.time_ns()
        epoch_ns = ended_ns - time.monotonic_ns()  # of the clock that the moments are in
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        span = self._tracer.start_span(
            method if route == "unmatched" else f"{method} {route}",
            context=_propagator.extract(headers, Context()),
            kind=SpanKind.SERVER,
            start_time=epoch_ns + round(state["started_at"] * 1e9),
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "halftone.request_id": state["request_id"],
            },
        )
        if "code" in state:
            span.set_attribute("error.type", state["code"])
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        if span.is_recording():  # or it was not sampled
            for image, answer in enumerate(state.get("answers", ())):
                of_image: dict[str, AttributeValue] = {"halftone.image": image}
                if isinstance(answer, Answer):
                    self._stages(span, epoch_ns, of_image, answer)
                else:
                    refusal = {**of_image, "error.type": type(answer).__name__}
                    span.add_event("image refused", refusal, timestamp=ended_ns)
        span.end(ended_ns)

    def close(self) -> None:
        """Send what was collected, if the collector takes it soon."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _stages(
        self, span: Span, epoch_ns: int, of_image: dict[str, AttributeValue], answer: Answer
    ) -> None:
        span.set_attribute("halftone.model", answer.served.name)
        span.set_attribute("halftone.version", answer.served.version)
        context = set_span_in_context(span, Context())
        at, size = answer.timings, answer.batch_size
        told: tuple[tuple[str, float, float, dict[str, AttributeValue]], ...] = (
            ("queue", at.accepted_at, at.decode_at, {"halftone.waits_for": "decode thread"}),
            ("decode", at.decode_at, at.queued_at, {}),
            ("queue", at.queued_at, at.started_at, {"halftone.waits_for": "engine"}),
            ("inference", at.started_at, at.finished_at, {"halftone.batch_size": size}),
        )
        for name, start_s, end_s, of_stage in told:
            stage = self._tracer.start_span(
                name,
                context,
                start_time=epoch_ns + round(start_s * 1e9),
                attributes={**of_image, **of_stage},
            )
            stage.end(epoch_ns + round(end_s * 1e9))


def exporting_spans() -> Spans:
    """Return spans that go to the collector that the OTEL_* variables name."""
    own = Resource({"service.name": "halftone", "service.version": app.__version__})
    resource = Resource.create().merge(own).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider)
