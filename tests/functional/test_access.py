"""Who may call, and what browsers are told."""

import base64
import hashlib
import os
from pathlib import Path

import httpx
import pytest
from fake_models import png

from app.errors import InvalidSetting
from app.http import api_keys
from app.http.api_keys import read_digests

pytestmark = pytest.mark.usefixtures("toy")


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# two keys\n{digest('alpha')}  the page\n\n{digest('beta').upper()}\n")
    return path


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer alpha"},
        {"authorization": "bearer beta"},
        {"x-api-key": "alpha"},
        {"authorization": basic("beta")},
    ],
)
async def test_any_valid_key_opens(start, key_file, headers):
    async with start(api_keys_file=key_file) as client:
        response = await client.post("/predict", content=png(), headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer gamma"},
        {"authorization": "Bearer "},
        {"authorization": "Basic ????"},
        {"authorization": basic("gamma")},
        {"x-api-key": digest("alpha")},
    ],
)
async def test_everything_but_health_is_closed(start, key_file, headers):
    async with start(api_keys_file=key_file) as client:
        for method, url in [
            ("POST", "/predict"),
            ("POST", "/predict/batch"),
            ("GET", "/models"),
            ("GET", "/models/toy"),
            ("GET", "/openapi.json"),
            ("GET", "/docs"),
            ("GET", "/"),
            ("GET", "/nothing"),
        ]:
            response = await client.request(method, url, headers=headers)
            assert response.status_code == 401, url
            assert response.json()["code"] == "unauthorized"
            assert "Basic" in response.headers["www-authenticate"]
        for url in ("/health", "/livez", "/readyz"):
            assert (await client.get(url, headers=headers)).status_code == 200


async def test_keys_are_rotated_without_a_restart(start, key_file, monkeypatch):
    monkeypatch.setattr(api_keys, "CHECK_SECONDS", 0.0)

    async def status(client: httpx.AsyncClient, key: str) -> int:
        return (await client.get("/models", headers={"x-api-key": key})).status_code

    async with start(api_keys_file=key_file) as client:
        assert [await status(client, key) for key in ("alpha", "gamma")] == [200, 401]
        replacement = key_file.with_suffix(".new")
        replacement.write_text(digest("gamma"))
        os.replace(replacement, key_file)
        assert [await status(client, key) for key in ("alpha", "gamma")] == [401, 200]
        key_file.write_text("a slip of the pen")
        assert [await status(client, key) for key in ("alpha", "gamma")] == [401, 200]
        key_file.unlink()
        assert [await status(client, key) for key in ("alpha", "gamma")] == [401, 200]


@pytest.mark.parametrize("content", ["", "# nothing\n", "short", "x" * 64])
def test_key_files_that_are_not_understood_are_refused(tmp_path, content):
    path = tmp_path / "keys"
    with pytest.raises(InvalidSetting, match="cannot read"):
        read_digests(path)
    path.write_text(content)
    with pytest.raises(InvalidSetting, match="HALFTONE_API_KEYS_FILE"):
        read_digests(path)


ORIGIN = {"origin": "https://a.example"}


async def test_only_configured_origins_are_allowed_on_errors_too(start):
    async with start() as client:
        unasked = await client.post("/predict", content=png(), headers=ORIGIN)
    async with start(cors_origins="https://a.example") as client:
        good = await client.post("/predict", content=png(), headers=ORIGIN)
        bad = await client.post("/predict", content=b"", headers=ORIGIN)
        other = await client.post(
            "/predict", content=png(), headers={"origin": "https://b.example"}
        )

    assert good.headers["access-control-allow-origin"] == "https://a.example"
    assert bad.headers["access-control-allow-origin"] == "https://a.example"
    for refused in (unasked, other):
        assert "access-control-allow-origin" not in refused.headers


async def test_answered_preflights_are_logged(start, caplog):
    asked = ORIGIN | {"access-control-request-method": "POST"}
    with caplog.at_level("INFO", "halftone.access"):
        async with start(cors_origins="https://a.example") as client:
            answer = await client.options("/predict", headers=asked)

    assert answer.status_code == 200
    assert "127.0.0.1 OPTIONS /predict 200 " in caplog.text


async def test_document_says_how_keys_are_sent_where_they_are_asked_for(start, key_file):
    async with start(api_keys_file=key_file) as client:
        headers = {"x-api-key": "alpha"}
        closed = (await client.get("/openapi.json", headers=headers)).json()
    async with start() as client:
        opened = (await client.get("/openapi.json")).json()

    assert set(closed["components"]["securitySchemes"]) == {"bearer", "header", "basic"}
    assert closed["security"] == [{"bearer": []}, {"header": []}, {"basic": []}]
    assert closed["paths"]["/readyz"]["get"]["security"] == []
    assert "security" not in closed["paths"]["/predict"]["post"]
    assert "security" not in opened
