"""New versions under traffic: noticed, switched between batches, refused when broken."""

import asyncio

import httpx
import pytest
from fake_models import PATIENCE_S, FakeStore, Start, png

from model_store.errors import ProbeMismatch


async def version_of(client: httpx.AsyncClient) -> int:
    response = await client.post("/predict", content=png())
    assert response.status_code == 200, response.text
    return response.json()["model"]["version"]


async def until_version(client: httpx.AsyncClient, version: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await version_of(client) != version:
            await asyncio.sleep(0.001)


async def test_rollback_is_the_same_path(start: Start, store: FakeStore) -> None:
    store.publish("toy", 1)
    store.publish("toy", 2)
    async with start() as client:
        assert await version_of(client) == 2
        store.promote("toy", 1)
        await until_version(client, 1)


async def test_broken_version_keeps_the_old_one_and_says_why(
    start: Start, store: FakeStore
) -> None:
    store.publish("toy", 1)
    async with start() as client:
        store.broken["toy", 2] = ProbeMismatch("probe/0.png: differs")
        store.publish("toy", 2)
        while (failure := (await client.get("/models/toy")).json()["failure"]) is None:
            await asyncio.sleep(0.001)
        health = (await client.get("/health")).json()
        serving = await version_of(client)
        ready = await client.get("/readyz")
        store.publish("toy", 3)
        await until_version(client, 3)
        mended = (await client.get("/models/toy")).json()["failure"]

    assert failure == {"version": 2, "reason": "probe/0.png: differs"}
    assert "Version 2 cannot serve" in health["models"][0]["failure"]
    assert serving == 1
    assert ready.status_code == 200
    assert mended is None


async def test_model_published_into_an_empty_store_makes_it_ready(
    start: Start, store: FakeStore
) -> None:
    async with start() as client:
        assert (await client.get("/readyz")).status_code == 503
        store.publish("toy", 1)
        async with asyncio.timeout(PATIENCE_S):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.001)
        assert await version_of(client) == 1


async def test_the_log_says_what_predict_means(
    start: Start, store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.publish("toy", 1)
    async with start() as client:
        store.publish("other", 1)
        async with asyncio.timeout(PATIENCE_S):
            while "/predict now means other, promoted last, no more toy" not in caplog.text:
                await version_of(client)
    caplog.clear()
    async with start(model="nope") as client:
        async with asyncio.timeout(PATIENCE_S):
            while "no model named 'nope'" not in caplog.text:
                await client.get("/livez")
        await client.get("/livez")
        assert caplog.text.count("Not ready") == 1


async def test_no_request_is_lost_over_20_reloads_under_traffic(
    start: Start, store: FakeStore
) -> None:
    store.publish("toy", 1)
    seen: list[int] = []
    stop = asyncio.Event()

    async def traffic(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            seen.append(await version_of(client))
            many = [("files", ("x.png", png(seed=n))) for n in range(5)]
            results = (await client.post("/predict/batch", files=many)).json()["results"]
            assert not any("error" in entry for entry in results)

    async with start() as client:
        clients = [asyncio.create_task(traffic(client)) for _ in range(8)]
        for version in range(2, 22):
            store.publish("toy", version)
            await until_version(client, version)
        stop.set()
        await asyncio.gather(*clients)
        models = store.models["toy"]
        for version in range(1, 21):
            assert await asyncio.to_thread(models[version].closed.wait, 20)

    assert len(set(seen)) > 5


async def test_pinned_versions_are_opened_on_demand_and_the_oldest_is_closed(
    start: Start, store: FakeStore
) -> None:
    for version in range(1, 5):
        store.publish("toy", version)
    async with start(pinned_versions=2) as client:
        for version in (1, 2, 1, 3):
            url = f"/models/toy/versions/{version}/predict"
            answer = (await client.post(url, content=png())).json()
            assert answer["model"]["version"] == version
        models = store.models["toy"]
        assert await asyncio.to_thread(models[2].closed.wait, 20)
        assert not models[1].closed.is_set()
        assert not models[3].closed.is_set()
        assert await version_of(client) == 4


async def test_all_models_are_closed_at_the_end(start: Start, store: FakeStore) -> None:
    models = [store.publish("toy", 1), store.publish("toy", 2), store.publish("other", 1)]
    async with start() as client:
        await client.post("/models/toy/versions/1/predict", content=png())

    assert all(model.closed.is_set() for model in models)
