"""The whole service over ASGI, on models that need no files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
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


# Probes of the watchdog would count among the batches that a test expects.
USUAL = {"poll_seconds": 0.02, "deadline_ms": 60_000, "watchdog_seconds": 3600}


@asynccontextmanager
async def running(
    store: FakeStore, tracing: Any = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    service = create_app(
        Settings(**USUAL | settings), store=store, open_version=store.open, tracing=tracing
    )
    async with service.router.lifespan_context(service):
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await eventually(lambda: has_loaded(client))
            yield client


@pytest.fixture
def start(store: FakeStore) -> Start:
    """Start the service with some settings, and wait until it looked at the store."""
    return partial(running, store)


async def has_loaded(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).json()["status"] != "loading"


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A service with a model like `toy`, for all tests of a module that do nothing but ask."""
    store = FakeStore()
    store.publish("toy", 1)
    async with running(store) as client:
        yield client
