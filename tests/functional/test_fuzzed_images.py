"""Mutated images, and any bytes at all, over the whole service: a stable answer, and never a 5xx.

Only "overloaded" and its kin may be said with a 5xx, and nothing here overloads anything.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from heic_files import HEIC
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S
from pictures import encoded
from PIL import Image

pytestmark = pytest.mark.usefixtures("toy")

# What an image, or the form around it, may be refused with.
CODES = {
    "empty_upload": 400,
    "malformed_upload": 400,
    "unsupported_format": 415,
    "undecodable_image": 422,
    "too_many_pixels": 422,
}
# An answer takes a few milliseconds; this is a hang.
BATCH = 16

INTERESTING = (b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0", b"\x80")


FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (20, 24))]}
# One small file of every kind that is decoded in the service's own process, and some of the others.
SEEDS: list[tuple[str, str, dict[str, Any]]] = [
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {"progressive": True}),
    ("JPEG", "CMYK", {"restart_marker_blocks": 2}),
    ("PNG", "RGB", {}),
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "LA", {}),
    ("PNG", "I;16", {}),
    ("PNG", "1", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("WEBP", "RGB", FRAMES),
    ("BMP", "RGB", {}),
    ("BMP", "P", {}),
    ("GIF", "P", {"transparency": 7}),
    ("GIF", "P", FRAMES),
]
CONTAINED_SEEDS: list[tuple[str, str, dict[str, Any]]] = [
    ("AVIF", "RGB", {}),
    ("AVIF", "RGBA", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "I;16", {}),
]


def files_of(kinds: list[tuple[str, str, dict[str, Any]]]) -> list[bytes]:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8))
    gray = image.convert("L")
    return [
        encoded((gray if mode == "I;16" else image).convert(mode), kind, **options)
        for kind, mode, options in kinds
    ]


def mutations(count: int, seed: int, originals: list[bytes] | None = None) -> Iterator[bytes]:
    """Files with a few faults each: flipped, overwritten, cut, doubled, moved or spliced."""
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    originals = originals or files_of(SEEDS)
    for _ in range(count):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            _mutate(data, chance, originals)
        yield bytes(data)


def _mutate(data: bytearray, chance: random.Random, originals: list[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    # Headers decide most, and are a small part of most files.
    at = min(at, chance.choice((40, 400, len(data))))
    length = chance.choice((1, 2, 4, 16, 100))
    match chance.randrange(7):
        case 0:
            data[at : at + 1] = bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1])
        case 1:
            data[at : at + length] = chance.randbytes(length)
        case 2:
            value = chance.choice(INTERESTING)
            data[at : at + len(value)] = value
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
        case 5:
            other = chance.choice(originals)
            start = chance.randrange(len(other))
            data[at : at + length] = other[start : start + length]
        case _:
            del data[at:]


def code_of(response: httpx.Response) -> str:
    """Check one whole answer, and return "ok" or its problem's code."""
    body = response.json()
    if response.status_code == 200:
        return "ok"
    assert response.headers["content-type"] == "application/problem+json", body
    assert body["request_id"] == response.headers["x-request-id"]
    assert (body["status"], CODES.get(body["code"])) == (response.status_code,) * 2, body
    return str(body["code"])


async def fuzz(client: httpx.AsyncClient, files: Iterator[bytes]) -> Counter[str]:
    """Send every file alone, and all of them in batches; both must say the same of it."""
    counts: Counter[str] = Counter()
    batch: list[tuple[bytes, str]] = []
    for data in files:
        async with asyncio.timeout(PATIENCE_S):
            code = code_of(await client.post("/predict", content=data))
        counts[code] += 1
        batch.append((data, code))
        if len(batch) == BATCH:
            await send_batch(client, batch)
            batch.clear()
    return counts


async def send_batch(client: httpx.AsyncClient, batch: list[tuple[bytes, str]]) -> None:
    form = [("files", ("x", data)) for data, _ in batch]
    async with asyncio.timeout(PATIENCE_S):
        response = await client.post("/predict/batch", files=form)
    assert response.status_code == 200, response.text
    entries = response.json()["results"]
    received = [entry["error"]["code"] if "error" in entry else "ok" for entry in entries]
    assert received == [code for _, code in batch]


async def test_mutated_images_are_answered_or_refused_by_name(start):
    async with start() as client:
        counts = await fuzz(client, mutations(600, seed=1))

    assert counts.total() == 600
    assert min(counts["ok"], counts["undecodable_image"], counts["unsupported_format"]) > 20


@pytest.mark.parametrize("count", [48, pytest.param(192, marks=pytest.mark.slow)])
async def test_mutated_images_that_are_decoded_apart_are_answered_or_refused_by_name(start, count):
    originals = [*HEIC.values(), *files_of(CONTAINED_SEEDS)]
    async with start() as client:
        counts = await fuzz(client, mutations(count, seed=3, originals=originals))

    assert counts.total() == count
    assert min(counts["ok"], counts["undecodable_image"], counts["unsupported_format"]) > 2


@pytest.mark.slow
async def test_20000_mutated_images_are_answered_or_refused_by_name(start, toy):
    async with start() as client:
        counts = await fuzz(client, mutations(20_000, seed=2))
        toy.batches.clear()
        alive = await client.get("/readyz")

    assert counts.total() == 20_000
    assert set(counts) <= {"ok", *CODES}
    assert alive.status_code == 200


URLS = (
    "/predict?top_k=2",
    "/predict/batch",
    "/models/toy/predict",
    "/models/toy/versions/1/predict/batch",
    "/v2/models/toy/infer",
    "/preview",
    "/explain",
    "/models",
    "/health",
    "/metrics",
    "/openapi.json",
    "/nothing",
)
TYPES = st.sampled_from(
    ["image/png", "multipart/form-data; boundary=b", "application/json", "text/plain", "", "x/y;=;"]
)
BODIES = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=200).map(
        lambda data: (
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + data + b"\r\n--b--\r\n"
        )
    ),
    st.binary(max_size=200).map(
        lambda data: b'{"inputs": [{"name": "image", "shape": [1], "data": ["' + data + b'"]}]}'
    ),
)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW")


async def test_any_bytes_to_any_route_are_no_error_of_ours(start):
    loop = asyncio.get_running_loop()
    async with start() as client:

        @settings(max_examples=300, suppress_health_check=list(HealthCheck))
        @given(
            method=st.sampled_from(METHODS),
            url=st.sampled_from(URLS),
            kind=TYPES,
            body=BODIES,
            length=st.sampled_from([None, "0", "-1", "1e9", "99999999999999999999"]),
        )
        def is_answered(method: str, url: str, kind: str, body: bytes, length: str | None) -> None:
            headers = {"content-type": kind}
            if length is not None:
                headers["inference-header-content-length"] = length
            request = client.request(method, url, content=body, headers=headers)
            response = asyncio.run_coroutine_threadsafe(request, loop).result(PATIENCE_S)
            assert response.status_code < 500, response.text
            if response.status_code >= 400 and method != "HEAD":
                assert response.json()["code"]
                assert response.json()["request_id"] == response.headers["x-request-id"]

        await asyncio.to_thread(is_answered)
