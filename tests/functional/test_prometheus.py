"""GET /metrics: what is counted, and that a client cannot invent labels."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fake_models import FakeModel, Start, png
from patience import eventually
from prometheus_client.parser import text_string_to_metric_families

from model_store.errors import CorruptBundle

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
async def client(start: Start, toy: FakeModel) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001  # it fills the store
    """A service of each test's own, whose counts begin at 0."""
    async with start() as client:
        yield client


async def scrape(client: httpx.AsyncClient) -> Samples:
    response = await client.get("/metrics", headers={"accept": "text/plain; version=0.0.4"})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"halftone_{name}", tuple(sorted(labels.items()))), 0.0)


async def test_predictions_are_counted_by_route_status_model_stage_and_label(client):
    best = (await client.post("/predict", content=png())).json()["label"]
    await client.post("/models/toy/predict", content=png())
    await client.post("/predict", content=b"no image")
    samples = await scrape(client)

    requests = {"method": "POST", "route": "/predict"}
    assert value(samples, "requests_total", **requests, status="200", model="toy") == 1
    assert value(samples, "requests_total", **requests, status="415", model="") == 1
    named = {"method": "POST", "route": "/models/{name}/predict", "status": "200", "model": "toy"}
    assert value(samples, "requests_total", **named) == 1
    assert value(samples, "refusals_total", code="unsupported_format") == 1
    for stage in ("decode", "queue", "inference", "total"):
        assert value(samples, "stage_seconds_count", model="toy", stage=stage) == 2
    assert value(samples, "predicted_total", model="toy", label=best) == 2
    assert value(samples, "probability_count", model="toy") == 2
    assert value(samples, "batch_size_sum", model="toy") == 2
    assert value(samples, "model_info", model="toy", version="1", engine="keras") == 1
    assert value(samples, "ready") == 1
    assert value(samples, "bytes_in_flight") == 0


@pytest.mark.parametrize(
    "accept",
    [
        *("", "*/*", "text/plain;version=x", "é;"),
        *("application/openmetrics-text", "application/openmetrics-text;version=1.x"),
    ],
)
async def test_metrics_come_whatever_form_is_asked_for(client, accept):
    answer = await client.get("/metrics", headers={"accept": accept.encode("latin-1")})

    assert answer.status_code == 200
    assert "halftone_ready 1.0" in answer.text


async def test_every_image_of_a_batch_counts(client):
    files = [("files", ("x.png", image)) for image in (png(), b"bad", png())]
    await client.post("/predict/batch", files=files)
    samples = await scrape(client)

    assert value(samples, "stage_seconds_count", model="toy", stage="total") == 2
    assert value(samples, "refusals_total", code="unsupported_format") == 1


async def test_clients_cannot_invent_labels(client):
    for n in range(30):
        await client.get(f"/nothing/{n}")
        await client.post(f"/models/none{n}/predict", content=png())
        await client.request(f"BREW{n}", "/predict")
    samples = await scrape(client)
    labels = {key for key in samples if key[0] == "halftone_requests_total"}

    assert len(labels) < 8
    assert not any("none7" in str(key) or "BREW" in str(key) for key in samples)


async def test_non_finite_answers_raise_an_alarm(client, toy):
    toy.answers_nan = True
    await client.post("/predict", content=png())

    assert value(await scrape(client), "refusals_total", code="output_not_finite") == 1


async def test_loads_and_their_failures_are_counted(start, store):
    store.publish("toy", 1)

    async def loads(client: httpx.AsyncClient, outcome: str) -> float:
        return value(await scrape(client), "model_loads_total", model="toy", outcome=outcome)

    async with start() as client:
        store.broken["toy", 2] = CorruptBundle("no")
        store.publish("toy", 2)
        await eventually(lambda: loads(client, "failed"))
        before = await loads(client, "ok")
        store.publish("toy", 3)

        async def loaded() -> bool:
            return await loads(client, "ok") > before

        await eventually(loaded)
        samples = await scrape(client)

    assert before == 1
    assert value(samples, "model_info", model="toy", version="1", engine="keras") == 0
    assert value(samples, "model_info", model="toy", version="3", engine="keras") == 1
