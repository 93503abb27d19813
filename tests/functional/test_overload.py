"""Deadlines, refusals and clients that leave, while the engine is held."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from fake_models import FakeModel, png
from patience import eventually

from model_store.pixels.preprocessing import preprocess

Receive = Callable[[], Awaitable[dict]]


async def hold(client: httpx.AsyncClient, model: FakeModel) -> asyncio.Task[httpx.Response]:
    """Occupy the engine with one image until `model.go` is set."""
    model.batches.clear()
    model.go.clear()
    while True:
        first = asyncio.create_task(client.post("/predict", content=png()))
        await eventually(lambda first=first: model.batches or first.done())
        if model.batches:
            return first
        # It missed its deadline on the way to the engine.


async def until_waiting(client: httpx.AsyncClient, images: int) -> None:
    async def are_waiting() -> bool:
        return (await client.get("/health")).json()["models"][0]["waiting"] >= images

    await eventually(are_waiting)


async def until_status(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    answers: list[httpx.Response] = []

    async def is_said() -> bool:
        answers.append(await client.get(path))
        return answers[-1].status_code == status

    await eventually(is_said)
    return answers[-1]


async def fill(client: httpx.AsyncClient, places: int) -> list[asyncio.Task[httpx.Response]]:
    """Let as many images wait as there are places."""
    accepted = [
        asyncio.create_task(client.post("/predict", content=png(seed=n))) for n in range(places)
    ]
    await until_waiting(client, places)
    return accepted


async def test_what_expires_while_it_waits_gets_504_and_is_not_computed(start, toy):
    async with start(deadline_ms=1000) as client:
        first = await hold(client, toy)
        late = await client.post("/predict", content=png(seed=1))
        toy.go.set()
        answered = await first

    assert (late.status_code, late.json()["code"]) == (504, "deadline_expired")
    assert late.json()["setting"] == "HALFTONE_DEADLINE_MS"
    assert answered.status_code == 200  # it was being computed when its deadline passed
    assert sum(toy.batches) == 1 or toy.batches == [1, 0]


async def test_full_queue_is_refused_at_once_with_retry_after(start, toy):
    async with start(max_queue=4) as client:
        first = await hold(client, toy)
        accepted = await fill(client, 4)
        refused = await client.post("/predict", content=png(seed=9))
        live = await client.get("/livez")
        toy.go.set()
        answers = [await first, *await asyncio.gather(*accepted)]

    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert live.status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 5
    assert sum(toy.batches) == 5


async def test_what_finds_no_place_in_the_queue_is_not_decoded(start, toy, monkeypatch):
    decoded: list[bytes] = []

    def counting(data: bytes, *arguments: Any, **options: Any) -> Any:
        decoded.append(data)
        return preprocess(data, *arguments, **options)

    monkeypatch.setattr("app.pipeline.preprocess", counting)
    async with start(max_queue=4) as client:
        first = await hold(client, toy)
        accepted = await fill(client, 4)
        refused = [await client.post("/predict", content=png(seed=9)) for _ in range(20)]
        toy.go.set()
        await asyncio.gather(first, *accepted)

    assert {answer.status_code for answer in refused} == {503}
    assert len(decoded) == 5


def sending(body: bytes, gone: asyncio.Event) -> Receive:
    """Return what an application receives: a whole body, and when `gone` is set, the end."""
    bodies = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict:
        for message in bodies:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


async def call(app: Any, receive: Receive, path: str = "/predict") -> list[dict]:
    """POST over bare ASGI."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    await app(scope, receive, send)
    return sent


async def test_images_of_disconnected_clients_are_dropped_before_inference(start, toy):
    async with start() as client:
        app = client._transport.app  # type: ignore[attr-defined]
        first = await hold(client, toy)
        gone, stays = asyncio.Event(), asyncio.Event()
        leaver = asyncio.create_task(call(app, sending(png(seed=1), gone)))
        stayer = asyncio.create_task(call(app, sending(png(seed=2), stays)))
        await until_waiting(client, 2)
        gone.set()
        assert await leaver == []
        toy.go.set()
        answered = await stayer
        await first

    assert toy.batches == [1, 1]
    assert answered[0]["status"] == 200


async def test_batch_leaves_room_for_single_requests(start, toy):
    async with start(max_queue=8) as client:
        first = await hold(client, toy)
        files = [("files", ("x.png", png(seed=n))) for n in range(40)]
        many = asyncio.create_task(client.post("/predict/batch", files=files))
        await until_waiting(client, 4)
        single = asyncio.create_task(client.post("/predict", content=png(seed=50)))
        await until_waiting(client, 5)
        toy.go.set()
        answers = await asyncio.gather(first, many, single)

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not any("error" in entry for entry in answers[1].json()["results"])


@pytest.mark.usefixtures("toy")
async def test_slow_upload_is_answered_408(start):
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        await never.wait()

    async with start(upload_seconds=0.05) as client:
        response = await client.post("/predict", content=body())

    assert (response.status_code, response.json()["code"]) == (408, "upload_too_slow")


async def test_bytes_in_flight_are_capped_over_all_requests_and_given_back(start, toy):
    async with start(max_bytes_in_flight=len(png()) + 50) as client:
        first = await hold(client, toy)
        refused = await client.post("/predict", content=png())
        toy.go.set()
        answered = await first
        afterwards = await client.post("/predict", content=png())

    assert (refused.status_code, refused.json()["code"]) == (503, "uploads_full")
    assert refused.json()["setting"] == "HALFTONE_MAX_BYTES_IN_FLIGHT"
    assert answered.status_code == afterwards.status_code == 200


async def test_stuck_engine_fails_liveness_and_readiness(start, toy):
    async with start(watchdog_seconds=0.1) as client:
        first = await hold(client, toy)
        stuck = (await until_status(client, "/livez", 503)).json()
        ready = await client.get("/readyz")
        toy.go.set()
        await first
        await until_status(client, "/livez", 200)

    assert stuck["status"] == "stuck"
    assert "toy" in stuck["reason"]
    assert ready.status_code == 503


async def test_engine_that_gets_stuck_without_traffic_is_noticed(start, toy):
    async with start(watchdog_seconds=0.1) as client:
        toy.go.clear()
        await until_status(client, "/livez", 503)
        toy.go.set()
        await until_status(client, "/livez", 200)


async def test_engine_that_fails_on_a_blank_image_is_not_ready(start, toy):
    async with start(watchdog_seconds=5) as client:
        watchdog = client._transport.app.state.watchdog  # type: ignore[attr-defined]
        toy.answers_nan = True
        watchdog.send_probes()
        await until_status(client, "/readyz", 503)
        reason = (await client.get("/health")).json()["reason"]
        toy.answers_nan = False
        watchdog.send_probes()
        await until_status(client, "/readyz", 200)

    assert "blank image" in reason


async def test_engine_whose_thread_is_killed_makes_the_service_not_ready(start, toy):
    async with start() as client:
        toy.error = SystemExit("killed")
        stranded = await client.post("/predict", content=png())
        ready = await until_status(client, "/readyz", 503)
        alive = await client.get("/livez")
        refused = await client.post("/predict", content=png())

    assert (stranded.status_code, stranded.json()["code"]) == (500, "inference_failed")
    assert "The engine of toy has ended: SystemExit" in ready.json()["reason"]
    assert alive.status_code == 503
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/preview", "/explain"])
async def test_what_would_miss_its_deadline_is_refused_before_its_body_is_read(start, path):
    async def never() -> dict:
        raise AssertionError("nobody should wait for the body")

    async with start(deadline_ms=0.001) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        answer = await call(app, never, path)

    assert answer[0]["status"] == 503
    assert b"retry-after" in dict(answer[0]["headers"])
    assert json.loads(answer[1]["body"])["code"] == "overloaded"
