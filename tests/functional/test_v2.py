"""The Open Inference Protocol over ASGI: metadata, tensors in both forms, and its errors."""

import asyncio
import base64
import json
import struct
import threading
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from fake_models import HEIGHT, LABELS, WIDTH, png, softmax_of_corners
from patience import PATIENCE_S

from app.http.v2 import endpoints
from model_store.pixels.preprocessing import preprocess

PIXELS = np.random.default_rng(1).integers(0, 256, (3, HEIGHT, WIDTH), np.uint8)
INFER = "/v2/models/toy/infer"


def pixels_input(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [3, HEIGHT, WIDTH]}
    return {**tensor, "data": PIXELS.reshape(-1).tolist(), **changes}


def expected(pixels: np.ndarray = PIXELS) -> np.ndarray:
    return softmax_of_corners(pixels, len(LABELS))


def output(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(tensor for tensor in answer["outputs"] if tensor["name"] == name)


def probabilities(answer: dict[str, Any]) -> np.ndarray:
    tensor = output(answer, "probabilities")
    return np.array(tensor["data"], np.float32).reshape(tensor["shape"])


async def test_server_tells_its_state_and_extensions(client):
    server = (await client.get("/v2")).json()

    assert server["name"] == "halftone"
    assert "binary_tensor_data" in server["extensions"]
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"ready": True}


@pytest.mark.parametrize("prefix", ["/v2/models/toy", "/v2/models/toy/versions/1"])
async def test_model_tells_its_tensors_and_versions(client, prefix):
    model = (await client.get(prefix)).json()

    assert model["versions"] == ["1"]
    assert model["inputs"][1]["shape"] == [-1, HEIGHT, WIDTH]
    assert model["outputs"][0]["shape"] == [-1, len(LABELS)]
    assert (await client.get(f"{prefix}/ready")).json() == {"name": "toy", "ready": True}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data": PIXELS.tolist()},
        {"shape": [3, HEIGHT * WIDTH]},
        {"datatype": "FP32", "data": (PIXELS / 255).reshape(-1).tolist()},
    ],
    ids=["flat", "nested", "flattened images", "FP32"],
)
async def test_pixels_as_json(client, changes):
    answer = await client.post(INFER, json={"id": "7", "inputs": [pixels_input(**changes)]})

    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == "7"
    assert (answer.json()["model_name"], answer.json()["model_version"]) == ("toy", "1")
    assert np.array_equal(probabilities(answer.json()), expected())
    best = [LABELS[index] for index in expected().argmax(axis=1)]
    assert output(answer.json(), "label")["data"] == best


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "URL-safe": base64.urlsafe_b64encode,
    "without padding": lambda image: base64.b64encode(image).rstrip(b"="),
    "in lines": base64.encodebytes,
    "in lines of Windows": lambda image: base64.encodebytes(image).replace(b"\n", b"\r\n"),
    "latin-1": lambda image: image,
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("spare", range(3))
async def test_encoded_images_as_json(client, toy, encode, spare):
    image = png(seed=4) + bytes([255] * spare)  # so that padding of each length occurs
    text = encode(image).decode("latin-1")
    answer = await client.post(INFER, json={"inputs": [image_input([text])]})

    assert np.array_equal(probabilities(answer.json()), expected(preprocess(image, toy.spec)[None]))


async def post_binary(
    client: httpx.AsyncClient, request: dict[str, Any], data: bytes
) -> httpx.Response:
    head = json.dumps(request).encode()
    headers = {"inference-header-content-length": str(len(head))}
    return await client.post(INFER, content=head + data, headers=headers)


def split(response: httpx.Response) -> tuple[dict[str, Any], bytes]:
    length = int(response.headers["inference-header-content-length"])
    return json.loads(response.content[:length]), response.content[length:]


async def test_binary_tensors_in_both_directions(client):
    tensor = pixels_input(data=None, parameters={"binary_data_size": PIXELS.nbytes})
    del tensor["data"]
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    response = await post_binary(client, request, PIXELS.tobytes())
    answer, rest = split(response)
    size = output(answer, "probabilities")["parameters"]["binary_data_size"]

    assert response.headers["content-type"] == "application/octet-stream"
    assert np.array_equal(np.frombuffer(rest[:size], "<f4").reshape(3, -1), expected())
    first = struct.unpack_from("<I", rest, size)[0]
    assert rest[size + 4 : size + 4 + first].decode() == LABELS[expected()[0].argmax()]


async def test_encoded_images_as_binary(client, toy):
    images = [png(seed=n) for n in range(5)]
    data = b"".join(struct.pack("<I", len(image)) + image for image in images)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [5, 1]}
    request = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}]}
    response = await post_binary(client, request, data)
    pixels = np.stack([preprocess(image, toy.spec) for image in images])

    assert np.array_equal(probabilities(response.json()), expected(pixels))


async def test_classification_gives_value_index_and_label(client):
    wanted = [{"name": "probabilities", "parameters": {"classification": 2}}]
    answer = await client.post(INFER, json={"inputs": [pixels_input()], "outputs": wanted})
    tensor = answer.json()["outputs"][0]
    value, index, label = tensor["data"][0].split(":")

    assert (tensor["datatype"], tensor["shape"]) == ("BYTES", [3, 2])
    assert int(index) == expected()[0].argmax()
    assert label == LABELS[int(index)]
    assert float(value) == pytest.approx(expected()[0].max(), abs=1e-5)
    assert len(answer.json()["outputs"]) == 1


def image_input(data: list[Any], images: int = 1) -> dict[str, Any]:
    return {"name": "image", "datatype": "BYTES", "shape": [images], "data": data}


BAD_TENSORS = [
    pixels_input(name="x"),
    pixels_input(datatype="INT64"),
    pixels_input(datatype="FP32"),
    pixels_input(shape=[3, 5]),
    pixels_input(shape=[]),
    pixels_input(shape=[0, HEIGHT, WIDTH], data=[]),
    pixels_input(shape=[-1, HEIGHT, WIDTH]),
    pixels_input(datatype="FP32", data=[1e300] * PIXELS.size),
    pixels_input(data=[1, 2]),
    pixels_input(data=["a"] * PIXELS.size),
    pixels_input(data=[300] * PIXELS.size),
    pixels_input(data=[0.5] * PIXELS.size),
    pixels_input(data=[[1], [2, 3]]),
    pixels_input(parameters={"binary_data_size": 4}),
    pixels_input(parameters={"binary_data_size": "x"}),
    image_input([5]),
    image_input(["QUJD"], images=2),
    image_input(["€"]),
]
NO_CLASS = {"name": "probabilities", "parameters": {"classification": 0}}
BAD_REQUESTS = [
    {},
    [],
    {"inputs": []},
    {"inputs": [pixels_input(), pixels_input()]},
    {"inputs": [pixels_input()], "outputs": [{"name": "x"}]},
    {"inputs": [pixels_input()], "outputs": [NO_CLASS]},
    *({"inputs": [tensor]} for tensor in BAD_TENSORS),
]
BAD_BODIES = [b"", b"no json", *(json.dumps(request).encode() for request in BAD_REQUESTS)]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
async def test_bad_requests_are_400_in_the_protocols_form(client, body):
    response = await client.post(INFER, content=body)

    assert response.status_code == 400, response.text
    assert isinstance(response.json()["error"], str)
    assert response.json()["error"]


async def test_both_shapes_of_pixels_are_named_where_neither_came(client):
    answer = await client.post(INFER, json={"inputs": [pixels_input(shape=[3, 5])]})
    schema = (await client.get("/openapi.json")).json()["components"]["schemas"]["Tensor"]
    shapes = f"[N, {HEIGHT}, {WIDTH}] or [N, {HEIGHT * WIDTH}]"

    assert answer.json()["error"] == f"Expected pixels of shape {shapes}. Received: [3, 5]"
    assert "flattened [N, height * width]" in schema["properties"]["shape"]["description"]


@pytest.mark.parametrize("data", [b"abc", struct.pack("<I", 100) + b"abc"])
async def test_broken_binary_bytes_are_refused(client, data):
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    request = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}]}

    assert (await post_binary(client, request, data)).status_code == 400


async def test_image_that_is_none_is_415_and_unknown_models_404(client):
    bad = await client.post(INFER, json={"inputs": [image_input(["QUJD"])]})
    unknown = await client.post("/v2/models/none/infer", json={"inputs": [pixels_input()]})
    nowhere = await client.get("/v2/nowhere")

    assert (bad.status_code, unknown.status_code, nowhere.status_code) == (415, 404, 404)
    assert "JPEG" in bad.json()["error"]
    assert all("error" in response.json() for response in (unknown, nowhere))


@pytest.mark.parametrize("length", ["-1", "x", "²", "9" * 5000, "10000"])
async def test_a_length_of_the_json_that_is_none_is_refused(client, length):
    headers = {"inference-header-content-length": length.encode("latin-1")}
    answer = await client.post(INFER, json={"inputs": [pixels_input()]}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


@pytest.mark.usefixtures("toy")
async def test_too_many_images_are_refused(start):
    async with start(max_images=2) as client:
        response = await client.post(INFER, json={"inputs": [pixels_input()]})

    assert response.status_code == 413


async def test_a_request_that_takes_long_to_read_holds_up_no_other(client, monkeypatch):
    has_begun, go = asyncio.Event(), threading.Event()
    loop, parse = asyncio.get_running_loop(), endpoints.parse_request

    def slowly(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(has_begun.set)
        assert go.wait(PATIENCE_S)
        return parse(*arguments)

    monkeypatch.setattr(endpoints, "parse_request", slowly)
    slow = asyncio.create_task(client.post(INFER, json={"inputs": [pixels_input()]}))
    await asyncio.wait_for(has_begun.wait(), PATIENCE_S)
    alive = await client.get("/livez")
    go.set()

    assert alive.status_code == 200
    assert (await slow).status_code == 200
