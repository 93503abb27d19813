"""Pictures without ink, for a model that reads ink: refused on every way that would be a guess."""

import base64
import io
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from fake_models import FakeModel, Start
from pictures import encoded
from PIL import Image, ImageDraw

from model_store.spec import ImageSpec, InkNormalization

SIDE = 28


@pytest.fixture
async def reader(toy: FakeModel, start: Start) -> AsyncIterator[httpx.AsyncClient]:
    toy.spec = ImageSpec.for_size(SIDE, SIDE, InkNormalization(box=20))
    async with start() as client:
        yield client


def stroke(paper: tuple[int, ...], ink: tuple[int, ...]) -> bytes:
    image = Image.new("RGBA", (80, 80), paper)
    ImageDraw.Draw(image).line((20, 15, 60, 65), fill=ink, width=8)
    return encoded(image)


WHITE, BLACK, CLEAR = (255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0)
VISIBLE = {
    "black on white": stroke(WHITE, BLACK),
    "white on black": stroke(BLACK, WHITE),
    "black on transparency": stroke(CLEAR, BLACK),
}
BLANK = {
    "white on white": stroke(WHITE, WHITE),
    "black on black": stroke(BLACK, BLACK),
    "white on transparency": stroke(CLEAR, WHITE),
    "transparency": stroke(CLEAR, CLEAR),
}


@pytest.mark.parametrize("image", VISIBLE.values(), ids=VISIBLE)
async def test_ink_is_answered(reader, image):
    assert (await reader.post("/predict", content=image)).status_code == 200


@pytest.mark.parametrize("image", BLANK.values(), ids=BLANK)
async def test_a_blank_picture_is_refused_on_every_way_that_would_be_a_guess(reader, image):
    text = base64.b64encode(image).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}
    refused = [
        await reader.post("/predict", content=image),
        await reader.post("/explain", content=image),
        await reader.post("/v2/models/toy/infer", json={"inputs": [tensor]}),
    ]
    good = VISIBLE["black on white"]
    batch = await reader.post("/predict/batch", files=[("files", image), ("files", good)])

    for response in refused:
        assert (response.status_code, response.json()["code"]) == (422, "nothing_to_see")
    assert "transparency counts as grey level 255" in refused[0].json()["detail"]
    first, second = batch.json()["results"]
    assert (first["error"]["status"], first["error"]["code"]) == (422, "nothing_to_see")
    assert "label" in second


async def test_a_blank_picture_can_be_looked_at(reader):
    response = await reader.post("/preview", content=BLANK["white on white"])
    with Image.open(io.BytesIO(response.content)) as seen:
        assert not np.asarray(seen).any()


async def test_a_model_that_reads_no_ink_answers_blank_pictures(client):
    response = await client.post("/predict", content=BLANK["black on black"])

    assert response.status_code == 200
