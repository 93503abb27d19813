"""New versions under traffic: noticed, switched between batches, refused when broken."""

import asyncio

import httpx
from fake_models import png
from patience import PATIENCE_S, eventually

from model_store.errors import ProbeMismatch


async def version_of(client: httpx.AsyncClient) -> int:
    response = await client.post("/predict", content=png())
    assert response.status_code == 200, response.text
    return response.json()["model"]["version"]


async def until_version(client: httpx.AsyncClient, version: int) -> None:
    async def serves() -> bool:
        return await version_of(client) == version

    await eventually(serves)


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def failure_of(client: httpx.AsyncClient) -> object:
    return (await client.get("/models/toy")).json()["failure"]


async def test_rollback_is_the_same_path(start, store):
    store.publish("toy", 1)
    store.publish("toy", 2)
    async with start() as client:
        assert await version_of(client) == 2
        store.promote("toy", 1)
        await until_version(client, 1)


async def test_broken_version_keeps_the_old_one_and_says_why(start, store):
    store.publish("toy", 1)
    async with start() as client:
        store.broken["toy", 2] = ProbeMismatch("probe/0.png: differs")
        store.publish("toy", 2)
        await eventually(lambda: failure_of(client))
        failure = await failure_of(client)
        health = (await client.get("/health")).json()
        serving = await version_of(client)
        ready = await client.get("/readyz")
        store.publish("toy", 3)
        await until_version(client, 3)
        mended = await failure_of(client)

    assert failure == {"version": 2, "reason": "probe/0.png: differs"}
    assert "Version 2 cannot serve" in health["models"][0]["failure"]
    assert serving == 1
    assert ready.status_code == 200
    assert mended is None


async def test_model_published_into_an_empty_store_makes_it_ready(start, store):
    async with start() as client:
        assert (await client.get("/readyz")).status_code == 503
        store.publish("toy", 1)
        await eventually(lambda: is_ready(client))
        assert await version_of(client) == 1


async def test_the_log_says_what_predict_means(start, store, caplog):
    store.publish("toy", 1)
    async with start() as client:
        store.publish("other", 1)
        means_other = "/predict now means other, promoted last, no more toy"
        await eventually(lambda: means_other in caplog.text)
    caplog.clear()
    async with start(model="nope") as client:
        await eventually(lambda: "no model named 'nope'" in caplog.text)
        await client.get("/livez")
        assert caplog.text.count("Not ready") == 1


async def test_no_request_is_lost_over_20_reloads_under_traffic(start, store):
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
            await eventually(lambda version=version: version in seen)
        stop.set()
        await asyncio.gather(*clients)
        models = store.models["toy"]
        for version in range(1, 21):
            assert await asyncio.to_thread(models[version].closed.wait, PATIENCE_S)


async def test_pinned_versions_are_opened_on_demand_and_the_oldest_is_closed(start, store):
    for version in range(1, 5):
        store.publish("toy", version)
    async with start(pinned_versions=2) as client:
        for version in (1, 2, 1, 3):
            url = f"/models/toy/versions/{version}/predict"
            answer = (await client.post(url, content=png())).json()
            assert answer["model"]["version"] == version
        models = store.models["toy"]
        assert await asyncio.to_thread(models[2].closed.wait, PATIENCE_S)
        assert not models[1].closed.is_set()
        assert not models[3].closed.is_set()
        assert await version_of(client) == 4


async def test_all_models_are_closed_at_the_end(start, store):
    models = [store.publish("toy", 1), store.publish("toy", 2), store.publish("other", 1)]
    async with start() as client:
        await client.post("/models/toy/versions/1/predict", content=png())

    assert all(model.closed.is_set() for model in models)
