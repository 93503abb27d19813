"""The whole service over ASGI, on models that need no files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fake_models import FakeModel, FakeStore, Start
from patience import eventually

from app.main import create_app
from app.settings import Settings


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def toy(store: FakeStore) -> FakeModel:
    return store.publish("toy", 1)


@pytest.fixture
def start(store: FakeStore) -> Start:
    """Start the service with some settings, and wait until it looked at the store."""

    @asynccontextmanager
    async def running(tracing: Any = None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        service = create_app(
            Settings(**{"poll_seconds": 0.02, "deadline_ms": 60_000, **settings}),
            store=store,
            open_version=store.open,
            tracing=tracing,
        )
        async with service.router.lifespan_context(service):
            transport = httpx.ASGITransport(service)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                await eventually(lambda: has_loaded(client))
                yield client

    return running


async def has_loaded(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).json()["status"] != "loading"


@pytest.fixture
async def client(start: Start, toy: FakeModel) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001  # it fills the store
    async with start() as client:
        yield client
