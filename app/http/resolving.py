"""Which model an address means: the default, one by name, or one version of it."""

from collections.abc import Mapping
from typing import Any

from app.registry import Registry
from app.served import ServedModel
from model_store.errors import VersionNotFound

PREFIXES = ("", "/models/{name}", "/models/{name}/versions/{version}")


async def resolve(registry: Registry, path: Mapping[str, Any]) -> ServedModel:
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
