"""What a tracing system is told of a request; off unless the environment names a collector.

Nothing here imports OpenTelemetry's SDK: where tracing is off, it costs a comparison per request.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.pipeline import Answer

logger = logging.getLogger("halftone.tracing")

# OpenTelemetry's own names; the other OTEL_* variables are read by its SDK.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """One request that was answered, or whose client has gone.

    Attributes:
        route: the template, or "unmatched".
        status: HTTP status; 499 where the client has gone.
        code: of the problem document, if there was one.
        started_at: `time.perf_counter()` seconds.
        answers: one per image that was asked for, in order.
    """

    method: str
    route: str
    status: int
    code: str | None
    request_id: str
    headers: Iterable[tuple[bytes, bytes]]
    started_at: float
    answers: Sequence[Answer | Exception]


class Tracing(Protocol):
    """Somebody who is told of finished requests."""

    def record(self, request: FinishedRequest) -> None:
        """Take note of one request that ends now; never waits."""
        ...

    def close(self) -> None:
        """Pass on what was noted. Waits, but not for long."""
        ...


def tracing_from_environment() -> Tracing | None:
    """Return what sends spans to the collector that OTEL_* variables name, if they name one."""
    named = [name for name in ENDPOINTS if os.environ.get(name)]
    if not named:
        return None
    try:
        from app.spans import exporting_spans
    except ImportError as error:
        logger.warning(
            "%s is set, but nothing is traced: %s. `pip install -r requirements/tracing.txt` "
            "installs what is missing.",
            named[0],
            error,
        )
        return None
    return exporting_spans()
