"""GET /metrics."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import Response

from app.http import documentation as docs
from app.metrics import Metrics


def metrics_router(metrics: Metrics, sample: Callable[[], None]) -> APIRouter:
    """Return the route that Prometheus scrapes.

    Args:
        metrics: of this process; other workers' are found in its shared folder.
        sample: sets this process's gauges.
    """
    router = APIRouter(tags=["health"])

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        operation_id="metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"example": "halftone_ready 1.0"}}},
            **docs.problems(*docs.CLOSED),
        },
    )
    async def show_metrics(
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Response:
        sample()
        body, content_type = metrics.render(accept)
        return Response(body, headers={"content-type": content_type})

    return router
