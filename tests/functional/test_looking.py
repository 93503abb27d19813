"""POST /preview and /explain: what the model saw, and where it looked."""

import io

import httpx
import numpy as np
import pytest
from fake_models import png
from pictures import encoded
from PIL import Image

from app.observability.drift import ENOUGH_IMAGES
from model_store.pixels.preprocessing import preprocess


async def test_preview_is_exactly_what_the_model_sees(client, toy):
    gradient = np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8)
    photo = encoded(Image.fromarray(gradient).convert("RGB"), "JPEG")
    response = await client.post("/preview", files={"file": photo})
    shown = np.asarray(Image.open(io.BytesIO(response.content)))

    assert response.headers["content-type"] == "image/png"
    assert np.array_equal(shown, preprocess(photo, toy.spec))


async def test_explaining_counts_as_no_incoming_image(start, toy):
    toy.learn_from([np.zeros((12, 8), np.uint8)])
    async with start() as client:
        await heat(client, png())
        explained = (await client.get("/metrics")).text
        for _ in range(ENOUGH_IMAGES):
            await client.post("/predict", content=png())
        predicted = (await client.get("/metrics")).text

    assert "halftone_drift{" not in explained
    assert "halftone_drift{" in predicted


async def heat(client: httpx.AsyncClient, image: bytes, **params: str) -> np.ndarray:
    response = await client.post("/models/toy/explain", content=image, params=params)
    assert response.status_code == 200, response.text
    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.mode == "RGBA"
        return np.asarray(picture)


async def test_heat_lies_where_the_decision_is_made_and_its_colour_says_for_or_against(client):
    pixels = np.full((12, 8), 30, np.uint8)
    pixels[0, 0] = 250  # the toy model's first label, "left", is decided by this pixel
    supporting = await heat(client, png(pixels), label="left")
    opposing = await heat(client, png(pixels), label="right")
    default = await heat(client, png(pixels))

    assert supporting.shape == (12, 8, 4)
    assert supporting[0, 0, 3] > 200
    assert supporting[11, 7, 3] < 30
    assert supporting[0, 0, 0] > supporting[0, 0, 2]
    assert opposing[0, 0, 2] > opposing[0, 0, 0]
    assert np.array_equal(default, supporting)


async def test_image_without_anything_to_cover_gives_an_empty_map(client):
    picture = await heat(client, png(np.full((12, 8), 99, np.uint8)))

    assert picture[..., 3].max() == 0


async def test_unknown_label_is_refused_with_the_known_ones(client):
    response = await client.post("/explain", content=png(), params={"label": "down"})

    assert response.status_code == 400
    assert "left, right, up" in response.json()["detail"]


@pytest.mark.parametrize("url", ["/preview", "/explain", "/models/toy/versions/1/preview"])
async def test_pictures_have_the_same_limits(client, url):
    assert (await client.post(url, content=b"no image")).status_code == 415
    assert (await client.post(url, content=png()[:50])).status_code == 422
    assert (await client.post(url, content=b"")).status_code == 400
