"""Whether requests are traced; OpenTelemetry is imported only where they are."""

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.observability.spans import Spans

logger = logging.getLogger("halftone.tracing")

# OpenTelemetry's own names; the other OTEL_* variables are read by its SDK.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracing_from_environment() -> "Spans | None":
    """Return what sends spans to the collector that OTEL_* variables name, if they name one."""
    named = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if named is None:
        return None
    try:
        from app.observability.spans import exporting_spans
    except ImportError as error:
        logger.warning(
            "%s is set, but nothing is traced: %s. `pip install -r requirements/tracing.txt` "
            "installs what is missing.",
            *(named, error),
        )
        return None
    return exporting_spans()
