"""GET /metrics."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
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

    async def show_metrics(request: Request) -> Response:
        sample()
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    router.add_api_route(
        "/metrics",
        show_metrics,
        summary="Metrics for Prometheus",
        operation_id="metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"example": "halftone_ready 1.0"}}},
            **docs.problems(401),
        },
    )
    return router
