"""What a bundle holds for people: examples to try, and its report."""

import pytest
from fake_models import FakeModel, png

REPORT = b"<!DOCTYPE html><title>toy</title><script>alert(1)</script>"


@pytest.fixture
def shown(toy: FakeModel) -> FakeModel:
    toy.keep(png(seed=1), png(seed=2), report=REPORT)
    return toy


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize("at", ["/models/toy", "/models/toy/versions/1"])
async def test_examples_are_the_users_images_and_no_drawn_ones(start, at):
    async with start() as client:
        (listed,) = (await client.get("/models")).json()["models"]
        first, second = [await client.get(f"{at}/examples/{number}") for number in (1, 2)]
        beyond = [await client.get(f"{at}/examples/{number}") for number in (0, 3)]

    assert listed["examples"] == 2
    assert (first.content, second.content) == (png(seed=1), png(seed=2))
    assert first.headers["content-type"] == "image/png"
    assert [answer.json()["code"] for answer in beyond] == ["not_in_bundle"] * 2


@pytest.mark.usefixtures("shown")
async def test_report_is_shown_without_scripts_and_as_of_no_origin(start):
    async with start() as client:
        report = await client.get("/models/toy/report")

    policy = [part.strip() for part in report.headers["content-security-policy"].split(";")]
    assert report.content == REPORT
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in policy
    assert "default-src 'none'" in policy


async def test_what_a_bundle_was_published_without_is_not_found(client):
    (listed,) = (await client.get("/models")).json()["models"]
    report = await client.get("/models/toy/report")
    example = await client.get("/models/toy/examples/1")

    assert (listed["has_report"], listed["examples"]) == (False, 0)
    assert [answer.status_code for answer in (report, example)] == [404, 404]
    assert report.json()["code"] == "not_in_bundle"
    assert (await client.get("/models/toy/versions/9/report")).json()["code"] == "version_not_found"


async def test_versions_that_can_be_asked_for_are_listed_and_described(start, store):
    store.publish("toy", 1)
    store.publish("toy", 2)
    async with start() as client:
        (listed,) = (await client.get("/models")).json()["models"]
        old = (await client.get("/models/toy/versions/1")).json()
        current = (await client.get("/models/toy")).json()

    assert (listed["version"], listed["versions"], current["versions"]) == (2, [1, 2], [1, 2])
    assert (old["version"], old["is_default"], old["labels"]) == (1, False, current["labels"])
    assert (current["version"], current["is_default"], current["failure"]) == (2, True, None)
    assert current["labels"] == ["left", "right", "up"]
    assert (current["image"]["height"], current["engine"]["name"]) == (12, "keras")
    assert {"metrics", "baselines", "comparison", "calibration"} <= current.keys()
