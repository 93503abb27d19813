"""POST /predict and /predict/batch, from the encoded bytes to the JSON."""

import math

import numpy as np
import pytest
from fake_models import LABELS, FakeModel, png, softmax_of_corners

from model_store.pixels.preprocessing import preprocess


def expected(model: FakeModel, image: bytes) -> dict[str, float]:
    pixels = preprocess(image, model.spec)
    probabilities = softmax_of_corners(pixels[None], len(LABELS))[0]
    return dict(zip(LABELS, probabilities.tolist(), strict=True))


def received(entry: dict) -> dict[str, float]:
    return {item["label"]: item["probability"] for item in entry["predictions"]}


@pytest.mark.parametrize("form", [True, False], ids=["multipart", "raw body"])
async def test_answer_names_the_model_and_ranks_every_class(client, toy, form):
    image = png(seed=3)
    upload = {"files": {"file": ("x.png", image)}} if form else {"content": image}
    response = await client.post("/predict", **upload)
    answer = response.json()

    assert response.status_code == 200
    assert answer["model"] == {"name": "toy", "version": 1}
    assert answer["request_id"] == response.headers["x-request-id"]
    assert received(answer) == expected(toy, image)
    probabilities = [item["probability"] for item in answer["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert math.isclose(sum(probabilities), 1, abs_tol=1e-6)
    assert answer["label"] == answer["predictions"][0]["label"]
    assert answer["unusual"] is None  # its bundle says nothing of training's images
    assert answer["probability"] == probabilities[0]


async def test_raw_body_is_an_image_whatever_its_content_type(client):
    types = "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", "a/b"
    for headers in ({}, *({"content-type": kind} for kind in types)):
        response = await client.post("/predict", content=png(), headers=headers)
        assert response.status_code == 200, headers


async def test_top_k_keeps_the_most_probable_classes(client, toy):
    best = sorted(expected(toy, png()).values(), reverse=True)
    for top_k in (1, 2, 3, 99):
        response = await client.post("/predict", params={"top_k": top_k}, content=png())
        assert [item["probability"] for item in response.json()["predictions"]] == best[:top_k]


@pytest.mark.parametrize("top_k", ["0", "-1", "two", "1.5", "", "9" * 40, "²"])
async def test_bad_top_k_is_refused_with_what_was_expected(client, top_k):
    response = await client.post("/predict", params={"top_k": top_k}, content=png())

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_parameter"
    assert response.json()["detail"].startswith("Expected another top_k.")


async def test_timings_stand_in_the_header(client):
    response = await client.post("/predict", content=png())
    names = [part.partition(";dur=") for part in response.headers["server-timing"].split(", ")]
    durations = {name: float(value) for name, _, value in names}

    assert list(durations) == ["decode", "queue", "inference", "total"]
    assert all(value >= 0 for value in durations.values())
    assert durations["total"] >= durations["decode"] + durations["inference"]


async def test_batch_of_64_with_3_broken_gives_61_results_and_3_errors_in_order(client, toy):
    images = [png(seed=seed) for seed in range(64)]
    images[7] = b"GIF89a but not really"
    images[31] = images[31][:40]
    images[63] = b""
    files = [("files", (f"{n}.png", image)) for n, image in enumerate(images)]
    response = await client.post("/predict/batch", files=files)
    results = response.json()["results"]

    assert response.status_code == 200
    assert [entry["index"] for entry in results] == list(range(64))
    assert [n for n, entry in enumerate(results) if "error" in entry] == [7, 31, 63]
    assert [results[n]["error"]["status"] for n in (7, 31, 63)] == [422, 422, 400]
    assert {"code", "detail", "title"} <= results[31]["error"].keys()
    good = [n for n in range(64) if n not in (7, 31, 63)]
    assert [received(results[n]) for n in good] == [expected(toy, images[n]) for n in good]


async def test_models_are_called_by_name_and_version(start, store):
    store.publish("first", 1)
    store.publish("first", 2)
    store.publish("second", 7)
    async with start() as client:
        urls = {
            "/predict": ("second", 7),
            "/models/first/predict": ("first", 2),
            "/models/first/versions/1/predict": ("first", 1),
            "/models/first/versions/2/predict": ("first", 2),
            "/models/second/predict": ("second", 7),
        }
        for url, (name, version) in urls.items():
            answer = (await client.post(url, content=png())).json()
            assert answer["model"] == {"name": name, "version": version}, url
            many = await client.post(f"{url}/batch", files=[("files", png())])
            assert many.json()["model"] == {"name": name, "version": version}, url


async def test_predict_means_the_chosen_model_or_the_one_promoted_last(start, store):
    for name in ("first", "second", "first"):
        store.publish(name, 1)
    async with start(model="second") as client:
        answer = (await client.post("/predict", content=png())).json()
    async with start() as client:
        models = (await client.get("/models")).json()

    assert answer["model"]["name"] == "second"
    assert models["default"] == "first"
    assert [model["is_default"] for model in models["models"]] == [True, False]


async def test_equal_probabilities_keep_the_order_of_the_labels(client):
    response = await client.post("/predict", content=png(np.zeros((12, 8), np.uint8)))

    assert [item["label"] for item in response.json()["predictions"]] == list(LABELS)


async def test_images_unlike_those_of_training_are_called_unusual(start, toy):
    random = np.random.default_rng(0)
    toy.learn_from([random.integers(90, 110, (12, 8), np.uint8) for _ in range(200)])
    like, unlike = (png(np.full((12, 8), grey, np.uint8)) for grey in (100, 250))
    async with start() as client:
        single = [(await client.post("/predict", content=image)).json() for image in (like, unlike)]
        files = [("files", ("x.png", image)) for image in (unlike, like)]
        batch = (await client.post("/predict/batch", files=files)).json()["results"]

    assert [answer["unusual"] for answer in single] == [False, True]
    assert [answer["unusual"] for answer in batch] == [True, False]
