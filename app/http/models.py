"""A model's addresses, what a query may hold, and GET /models: what is served, and what is not."""

import asyncio
import difflib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from app.errors import InvalidParameter, NotInBundle, NotReady
from app.http import documentation as docs
from app.http.schemas import LoadFailure, ModelDetail, ModelInfo, ModelList
from app.loaded_model import LoadedModel
from app.registry import Registry
from model_store.errors import ModelNotFound, ModelStoreError
from model_store.manifest import REPORT_FILE
from model_store.pixels.formats import format_of
from model_store.spec import ALL_FORMATS

Name = Annotated[str, Path(description="A model's name.", examples=["casting"])]
Version = Annotated[int, Path(description="A version in the store.", ge=1, examples=[3])]
Number = Annotated[int, Path(description="From 1.", ge=1, examples=[1])]

# A bundle may be a stranger's: what it holds is shown without scripts, and as of no origin.
_SANDBOX = {
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

M = TypeVar("M", bound=ModelInfo)


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


def models_router(registry: Registry, *, asks_for_keys: bool, keeps_feedback: bool) -> APIRouter:
    """Return the routes that describe models."""
    router = APIRouter(tags=["models"])

    @router.get(
        "/models",
        summary="List models",
        operation_id="list_models",
        responses=docs.problems(*docs.CLOSED),
    )
    async def list_models() -> ModelList:
        names = registry.names()
        versions = await asyncio.gather(*[_versions(registry, name) for name in names])
        return ModelList(
            default=default_name(registry),
            asks_for_keys=asks_for_keys,
            keeps_feedback=keeps_feedback,
            models=[
                _described(ModelInfo, registry, name, registry.find(name), known)
                for name, known in zip(names, versions, strict=True)
            ],
        )

    @router.get(
        "/models/{name}",
        summary="Describe a model",
        operation_id="show_model",
        responses=docs.problems(*docs.CLOSED, ModelNotFound),
    )
    async def show_model(name: Name) -> ModelDetail:
        if name not in registry.names():
            raise ModelNotFound(f"Expected one of: {', '.join(registry.names()) or 'no models'}.")
        served, versions = registry.find(name), await _versions(registry, name)
        return _described(ModelDetail, registry, name, served, versions)

    by_name, by_version = addresses(registry)[1:]

    @router.get(
        by_version.prefix,
        summary="Describe a version",
        operation_id="show_version",
        responses=docs.problems(*docs.MODEL),
    )
    async def show_version(model: Annotated[LoadedModel, Depends(by_version.find)]) -> ModelDetail:
        versions = await _versions(registry, model.name)
        return _described(ModelDetail, registry, model.name, model, versions)

    for at in (by_name, by_version):
        _add_files(router, at)
    return router


def _add_files(router: APIRouter, at: Address) -> None:
    """Add the routes that show what a bundle holds for people."""
    problems = docs.problems(*docs.MODEL, NotInBundle)

    @router.get(
        f"{at.prefix}/report",
        summary="Show how it was trained",
        operation_id=f"report{at.suffix}",
        response_class=Response,
        responses={200: {"content": {"text/html": {}}, "description": "The page."}, **problems},
    )
    async def report(model: Annotated[LoadedModel, Depends(at.find)]) -> Response:
        page = await asyncio.to_thread(model.read_file, REPORT_FILE)
        return Response(page, media_type="text/html", headers=_SANDBOX)

    @router.get(
        f"{at.prefix}/examples/{{number}}",
        summary="Show an image to try",
        description="One of those that the bundle keeps to prove itself with.",
        operation_id=f"example{at.suffix}",
        response_class=Response,
        responses={
            200: {
                "content": {
                    f"image/{kind.lower()}": {"schema": docs.BINARY} for kind in ALL_FORMATS
                },
                "description": "The image.",
            },
            **problems,
        },
    )
    async def example(number: Number, model: Annotated[LoadedModel, Depends(at.find)]) -> Response:
        if number > len(model.examples):
            raise NotInBundle(f"Expected one of {len(model.examples)} examples.")
        image = await asyncio.to_thread(model.read_file, model.examples[number - 1])
        kind = f"image/{(format_of(image) or '').lower()}"
        return Response(image, media_type=kind, headers=_SANDBOX)


def default_name(registry: Registry) -> str | None:
    """Return the name of the model that /predict means, if one is ready."""
    try:
        return registry.default().name
    except NotReady:
        return None


async def _versions(registry: Registry, name: str) -> list[int]:
    """Return every version that can be asked for; of a store that is away, what is in memory."""
    try:
        return await registry.versions(name)
    except (OSError, ModelStoreError):
        served = registry.find(name)
        return [served.version] if served else []


def _described(
    kind: type[M], registry: Registry, name: str, served: LoadedModel | None, versions: list[int]
) -> M:
    """Return what a list, or a version's own page, says of a model.

    Most of it is the manifest's; `kind` takes what it has a field for.
    """
    failure = registry.failure(name)
    members: dict[str, object] = {
        "name": name,
        "is_default": name == default_name(registry) and served is registry.find(name),
        "versions": versions,
        "failure": failure and LoadFailure(version=failure.version, reason=failure.reason),
    }
    if served is not None:
        engine = served.manifest.engines[served.engine_name]
        members = dict(served.manifest) | members
        members |= {
            "engine": {**dict(engine), "name": served.engine_name},
            "examples": len(served.examples),
            "has_report": REPORT_FILE in served.manifest.files,
            "warnings": served.warnings,
        }
    return kind.model_validate(members)
