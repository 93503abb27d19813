"""/livez, /readyz and /health: is the process alive, can it predict, and if not, why.

All three answer 503 when the answer is no, so that whatever asks only for a status is told the
truth; /health tells people more. /metrics tells Prometheus.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header
from starlette.responses import Response

import app
from app.http import documentation as docs
from app.http.models import default_name
from app.http.schemas import Health, HealthOfModel
from app.observability.metrics import Instruments
from app.readiness import Readiness, Status
from app.registry import Registry

S = TypeVar("S", bound=Status)


def health_router(
    registry: Registry, readiness: Readiness, metrics: Instruments, sample: Callable[[], None]
) -> APIRouter:
    """Return the routes that wait for nothing; all but /metrics need no API key.

    Args:
        registry: of the models.
        readiness: what is told.
        metrics: of this process; other workers' are found in its shared folder.
        sample: sets this process's gauges.
    """
    router = APIRouter(tags=["health"])

    @router.get(
        "/livez", summary="Whether the process works", operation_id="livez", responses=_no(Status)
    )
    async def livez(response: Response) -> Status:
        return _say(response, readiness.alive())

    @router.get(
        "/readyz", summary="Whether it can predict", operation_id="readyz", responses=_no(Status)
    )
    async def readyz(response: Response) -> Status:
        return _say(response, readiness.ready())

    @router.get(
        "/health",
        summary="What is served, and what is wrong",
        operation_id="health",
        responses=_no(Health),
    )
    async def health(response: Response) -> Health:
        report = Health(
            **dict(readiness.ready()),
            default=default_name(registry),
            models=[_of_model(registry, name) for name in registry.names()],
            store=registry.stale,
            version=app.__version__,
        )
        return _say(response, report)

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


def _no(model: type[Status]) -> dict[int | str, dict[str, Any]]:
    return {503: {"model": model, "description": "No, and why."}}


def _say(response: Response, status: S) -> S:
    response.headers["Cache-Control"] = "no-store"
    response.status_code = 200 if status.is_good else 503
    return status


def _of_model(registry: Registry, name: str) -> HealthOfModel:
    served = registry.find(name)
    failure = registry.failure(name)
    return HealthOfModel(
        name=name,
        version=served.version if served else None,
        engine=served.engine_name if served else None,
        waiting=served.queue.depth if served else 0,
        warnings=list(served.warnings) if served else [],
        failure=f"Version {failure.version} cannot serve: {failure.reason}" if failure else None,
    )
