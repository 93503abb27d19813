"""A model's addresses, what a query may hold, and GET /models: what is served, and what is not."""

import difflib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from app.errors import InvalidParameter, NotReady
from app.http import documentation as docs
from app.http.schemas import EngineInfo, LoadFailure, ModelDetail, ModelInfo, ModelList
from app.loaded_model import LoadedModel
from app.registry import Registry
from model_store.errors import ModelNotFound

Name = Annotated[str, Path(description="A model's name.", examples=["casting"])]
Version = Annotated[int, Path(description="A version in the store.", ge=1, examples=[3])]


@dataclass(frozen=True, slots=True)
class Address:
    """One way to say which model is meant.

    Attributes:
        prefix: of the route's path.
        suffix: of the operation's id, which generated clients use as a function's name.
        find: FastAPI's dependency that returns the model, or raises that there is none.
    """

    prefix: str
    suffix: str
    find: Callable[..., Coroutine[Any, Any, LoadedModel]]


def addresses(registry: Registry) -> tuple[Address, Address, Address]:
    """Return the default model's address, a name's, and a version's."""

    async def default() -> LoadedModel:
        return registry.default()

    async def by_name(name: Name) -> LoadedModel:
        return registry.by_name(name)

    async def by_version(name: Name, version: Version) -> LoadedModel:
        return await registry.version(name, version)

    return (
        Address("", "", default),
        Address("/models/{name}", "_with_model", by_name),
        Address("/models/{name}/versions/{version}", "_with_version", by_version),
    )


def only(*names: str) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """Return FastAPI's dependency that refuses query parameters with other names.

    It raises InvalidParameter, with the nearest name.
    """

    async def refuse_others(request: Request) -> None:
        for name in request.query_params:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                hint = f" Did you mean {near[0]}?" if near else ""
                expected = f"the query parameter {names[0]!r}" if names else "no query parameters"
                raise InvalidParameter(f"Expected {expected}. Received: {name[:40]!r}.{hint}")

    return refuse_others


def models_router(registry: Registry) -> APIRouter:
    """Return the routes that describe models."""
    router = APIRouter(tags=["models"])

    @router.get(
        "/models",
        summary="List models",
        operation_id="list_models",
        responses=docs.problems(*docs.CLOSED),
    )
    async def list_models() -> ModelList:
        models = [describe(registry, name) for name in registry.names()]
        return ModelList(default=default_name(registry), models=models)

    @router.get(
        "/models/{name}",
        summary="Describe a model",
        operation_id="show_model",
        responses=docs.problems(*docs.CLOSED, ModelNotFound),
    )
    async def show_model(name: Name) -> ModelDetail:
        if name not in registry.names():
            raise ModelNotFound(f"Expected one of: {', '.join(registry.names()) or 'no models'}.")
        return describe_fully(registry, name, await registry.versions(name))

    return router


def default_name(registry: Registry) -> str | None:
    """Return the name of the model that /predict means, if one is ready."""
    try:
        return registry.default().name
    except NotReady:
        return None


def describe(registry: Registry, name: str) -> ModelInfo:
    """Return what a list of models says of one."""
    served = registry.find(name)
    failure = registry.failure(name)
    return ModelInfo(
        name=name,
        version=served.version if served else None,
        is_default=name == default_name(registry),
        labels=list(served.labels) if served else [],
        image=served.spec if served else None,
        metrics=served.manifest.metrics if served else None,
        engine=_engine(served) if served else None,
        warnings=list(served.warnings) if served else [],
        failure=LoadFailure(version=failure.version, reason=failure.reason) if failure else None,
    )


def describe_fully(registry: Registry, name: str, versions: list[int]) -> ModelDetail:
    """Return what a model's own page says."""
    served = registry.find(name)
    manifest = served.manifest if served else None
    return ModelDetail(
        **dict(describe(registry, name)),
        versions=versions,
        created_at=manifest.created_at if manifest else None,
        training=manifest.training if manifest else None,
        calibration=manifest.calibration if manifest else None,
        dataset=manifest.dataset if manifest else None,
        libraries=manifest.libraries if manifest else {},
    )


def _engine(served: LoadedModel) -> EngineInfo:
    record = served.manifest.engines[served.engine_name]
    return EngineInfo(name=served.engine_name, parity=record.parity, max_batch=served.max_batch)
