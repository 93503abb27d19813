"""The three addresses that a model has, and the parameters in them."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Path

from app.loaded_model import LoadedModel
from app.registry import Registry

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
