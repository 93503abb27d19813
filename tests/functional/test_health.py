"""What the service says of itself: alive, ready, and what to do when it is not."""

import pytest
from fake_models import png

from model_store.errors import CorruptBundle

PROBLEM = "application/problem+json"


async def test_empty_store_is_alive_but_not_ready_and_says_what_to_do(start):
    async with start() as client:
        live = await client.get("/livez")
        ready = await client.get("/readyz")
        health = await client.get("/health")
        refused = await client.post("/predict", content=png())
        protocol = [await client.get(f"/v2/health/{what}") for what in ("live", "ready")]

    assert live.status_code == 200
    assert ready.status_code == 503
    assert [answer.status_code for answer in protocol] == [200, 503]
    assert health.status_code == 503
    assert health.json()["status"] == "not ready"
    assert "training fit" in health.json()["reason"]
    assert refused.status_code == 503
    assert refused.json()["code"] == "not_ready"
    assert int(refused.headers["retry-after"]) >= 1


async def test_served_model_is_ready(client):
    health = (await client.get("/health")).json()

    assert (await client.get("/readyz")).status_code == 200
    assert health["status"] == "ready"
    assert health["default"] == "toy"
    assert health["models"][0]["version"] == 1
    assert health["models"][0]["engine"] == "keras"


@pytest.mark.usefixtures("toy")
async def test_chosen_model_that_is_missing_is_named(start):
    async with start(model="casting") as client:
        ready = await client.get("/readyz")
        by_name = await client.post("/models/toy/predict", content=png())

    assert ready.status_code == 503
    assert "'casting'" in ready.json()["reason"]
    assert by_name.status_code == 200


async def test_model_that_cannot_load_is_shown_with_the_reason(start, store):
    store.publish("bad", 1)
    store.broken["bad", 1] = CorruptBundle("model.keras: its SHA-256 differs")
    async with start() as client:
        ready = await client.get("/readyz")
        shown = (await client.get("/models/bad")).json()
        refused = await client.post("/models/bad/predict", content=png())

    assert ready.status_code == 503
    assert shown["version"] is None
    assert shown["failure"] == {"version": 1, "reason": "model.keras: its SHA-256 differs"}
    assert refused.status_code == 503


async def test_openapi_documents_every_route_with_examples_and_tags(client):
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/predict"]["post"]["responses"]

    assert set(responses) == {
        "200", "400", "401", "404", "408", "413", "415", "422", "500", "503", "504",
    }  # fmt: skip
    schema = responses.pop("200")["content"]["application/json"]["schema"]
    assert document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"]
    assert all(response["content"][PROBLEM]["examples"] for response in responses.values())
    assert "/models/{name}/versions/{version}/predict/batch" in document["paths"]
    for path in ("/predict", "/predict/batch", "/explain", "/feedback"):
        refused = document["paths"][path]["post"]["responses"]["415"]["content"][PROBLEM]
        assert "compressed_upload" in refused["examples"]
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert described.keys() == {tag for one in operations for tag in one["tags"]}
    assert all(described.values())


async def test_page_has_its_policy_and_every_answer_the_security_headers(client):
    page = await client.get("/")
    prediction = await client.post("/predict", content=png())

    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for response in (page, prediction):
        assert response.headers["x-content-type-options"] == "nosniff"
