"""Versions that do not serve yet: opened when they are asked for, and nobody is held for long."""

import asyncio
import threading

import httpx
import pytest
from fake_models import FakeModel, FakeStore, png
from patience import PATIENCE_S, eventually

from app import registry
from model_store.store.current import Pointers


class SlowStore(FakeStore):
    """Opens nothing while `go` is unset, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.stale: str | None = None
        self.asked: list[str] = []

    def pointers(self) -> Pointers:
        return Pointers(dict(self.currents), stale=self.stale)

    def versions(self, name: str) -> list[int]:
        self.asked.append(name)
        return super().versions(name)

    def open(self, name: str, version: int) -> FakeModel:
        if version != self.currents[name].version:
            self.go.wait(PATIENCE_S)
        return super().open(name, version)


@pytest.fixture
def store() -> SlowStore:
    store = SlowStore()
    for version in (1, 2, 3):
        store.publish("toy", version)
    return store


async def ask(client: httpx.AsyncClient, version: int) -> httpx.Response:
    return await client.post(f"/models/toy/versions/{version}/predict", content=png())


async def test_request_is_not_held_while_a_version_takes_long_to_open(start, store, monkeypatch):
    monkeypatch.setattr(registry, "HOLD_SECONDS", 0.05)
    async with start() as client:
        held = await asyncio.gather(*(ask(client, version) for version in (1, 1, 2)))
        store.go.set()

        async def has_opened() -> bool:
            return (await ask(client, 1)).status_code == 200

        await eventually(has_opened)
        opened = await ask(client, 1)

    assert {(answer.status_code, answer.json()["code"]) for answer in held} == {(503, "not_ready")}
    assert {answer.headers["Retry-After"] for answer in held} == {"1"}
    assert opened.json()["model"]["version"] == 1
    assert store.models["toy"][1].closed.is_set()


async def test_client_that_goes_away_does_not_stop_the_opening(start, store):
    async with start() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(client, 1)
        store.go.set()
        assert (await ask(client, 1)).json()["model"]["version"] == 1
    assert store.asked.count("toy") == 1


async def test_no_more_than_some_versions_wait_to_be_opened(start, store, monkeypatch):
    monkeypatch.setattr(registry, "_MOST_OPENING", 1)
    async with start() as client:
        first = asyncio.create_task(ask(client, 1))
        await eventually(lambda: store.asked)
        refused = await ask(client, 2)
        store.go.set()
        assert (await first).status_code == 200
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert (await ask(client, 2)).status_code == 200


async def test_store_that_is_away_is_not_asked_for_other_versions(start, store):
    store.go.set()
    async with start() as client:
        assert (await ask(client, 2)).status_code == 200
        store.asked.clear()
        store.stale = "Cannot read current.json in s3://models: it does not answer in time"

        async def is_said() -> bool:
            return (await client.get("/health")).json()["store"] is not None

        await eventually(is_said)
        store.asked.clear()
        statuses = [(await ask(client, version)).status_code for version in (1, 2, 3, 7)]
        refused = await ask(client, 7)

    assert statuses == [503, 200, 200, 503]
    assert refused.json()["code"] == "store_unreachable"
    assert store.asked == []
