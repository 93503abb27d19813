"""Which model an address means, and the kind of route that all predictions take."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.loaded_model import LoadedModel
from app.registry import Registry
from model_store.errors import VersionNotFound

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class PlainRoute(APIRoute):
    """A documented route whose endpoint takes the request and returns the response itself.

    FastAPI's own handler would look for parameters, dependencies and response models first. What
    the endpoint raises reaches the envelope.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = answer


PREFIXES = ("", "/models/{name}", "/models/{name}/versions/{version}")


async def resolve(registry: Registry, path: Mapping[str, Any]) -> LoadedModel:
    """Return the model that a path names.

    Raises:
        ModelNotFound, VersionNotFound, NotReady: there is nothing to answer with.
    """
    if "name" not in path:
        return registry.default()
    if "version" not in path:
        return registry.by_name(path["name"])
    return await registry.version(path["name"], _version(path["version"]))


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise VersionNotFound("Expected a version number, a whole number of at least 1.")
    return int(text)
