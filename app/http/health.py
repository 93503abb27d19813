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
from app.http.schemas import Health, HealthOfModel, Status
from app.observability.metrics import Instruments
from app.readiness import Readiness
from app.registry import Registry
from app.watchdog import Watchdog

S = TypeVar("S", bound=Status)


def health_router(registry: Registry, readiness: Readiness, watchdog: Watchdog) -> APIRouter:
    """Return the health routes; they need no API key and wait for nothing."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/livez", summary="Whether the process works", operation_id="livez", responses=_no(Status)
    )
    async def livez(response: Response) -> Status:
        reason = watchdog.why_not_alive()
        return _say(response, Status(status="stuck" if reason else "ok", reason=reason))

    @router.get(
        "/readyz", summary="Whether it can predict", operation_id="readyz", responses=_no(Status)
    )
    async def readyz(response: Response) -> Status:
        return _say(response, _status(readiness))

    @router.get(
        "/health",
        summary="What is served, and what is wrong",
        operation_id="health",
        responses=_no(Health),
    )
    async def health(response: Response) -> Health:
        report = Health(
            **dict(_status(readiness)),
            default=default_name(registry),
            models=[_of_model(registry, name) for name in registry.names()],
            store=registry.stale,
            version=app.__version__,
        )
        return _say(response, report)

    return router


def metrics_router(metrics: Instruments, sample: Callable[[], None]) -> APIRouter:
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


def _no(model: type[Status]) -> dict[int | str, dict[str, Any]]:
    return {503: {"model": model, "description": "No, and why."}}


def _say(response: Response, status: S) -> S:
    response.headers["Cache-Control"] = "no-store"
    response.status_code = 200 if status.status in ("ok", "ready") else 503
    return status


def _status(readiness: Readiness) -> Status:
    condition = readiness.condition()
    return Status(status=condition.word, reason=condition.reason)


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
