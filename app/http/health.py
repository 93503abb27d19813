"""/livez, /readyz and /health: is the process alive, can it predict, and if not, why.

All three answer 503 when the answer is no, so that whatever asks only for a status is told the
truth; /health tells people more.
"""

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

import app
from app.http.models import default_name
from app.http.schemas import Health, HealthOfModel, Status
from app.readiness import Readiness
from app.registry import Registry
from app.watchdog import Watchdog


def health_router(registry: Registry, readiness: Readiness, watchdog: Watchdog) -> APIRouter:
    """Return the health routes; they need no API key and wait for nothing."""
    router = APIRouter(tags=["health"])

    async def livez() -> Response:
        reason = watchdog.why_not_alive()
        return _answer(Status(status="stuck" if reason else "ok", reason=reason), reason is None)

    async def readyz() -> Response:
        status = _status(readiness)
        return _answer(status, status.status == "ready")

    async def health() -> Response:
        status = _status(readiness)
        report = Health(
            **dict(status),
            default=default_name(registry),
            models=[_of_model(registry, name) for name in registry.names()],
            version=app.__version__,
        )
        return _answer(report, status.status == "ready")

    for path, endpoint, model, summary in (
        ("/livez", livez, Status, "Whether the process works"),
        ("/readyz", readyz, Status, "Whether it can predict"),
        ("/health", health, Health, "What is served, and what is wrong"),
    ):
        router.add_api_route(
            path,
            endpoint,
            summary=summary,
            operation_id=path.strip("/"),
            responses={200: {"model": model}, 503: {"model": model, "description": "No, and why."}},
        )
    return router


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


def _answer(body: BaseModel, is_good: bool) -> Response:
    return Response(
        orjson.dumps(body.model_dump()),
        status_code=200 if is_good else 503,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
