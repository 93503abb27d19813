"""Runs the examples of docs/serving.md and docs/security.md against a real service."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import documented_commands
import httpx
import pytest
from documented_commands import blocks, run
from service_process import PATIENCE_S, ROOT, Service, running

SHIPPED = ROOT / "models"
PAGE = "docs/serving.md"
block = partial(documented_commands.block, PAGE)


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A reader's folder, with two images."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    probes = sorted(SHIPPED.glob("digits/*/probe/*.png"))
    for name, probe in zip(("part.png", "other.png"), probes, strict=False):
        shutil.copy(probe, tmp_path / name)
    return tmp_path


def here(script: str, service: Service) -> str:
    return script.replace("http://127.0.0.1:8000", service.url)


def test_requests_are_answered(digits_service, reader):
    answers = [
        run(here(line, digits_service).replace("curl", "curl -sS --fail"), reader)
        for line in block("top_k=3").splitlines()
    ]

    one, raw, batch, named, version, seen, looked, models = answers
    for answer in (one, raw, named, version):
        assert json.loads(answer)["label"] == json.loads(one)["label"]
    assert len(json.loads(raw)["predictions"]) == 3
    assert len(json.loads(batch)["results"]) == 2
    assert (seen, looked) == ("", "")
    for name in ("seen.png", "looked.png"):
        assert (reader / name).read_bytes().startswith(b"\x89PNG")
    assert json.loads(models)["default"] == "digits"


def test_program_and_curl_that_try_again(digits_service, reader):
    program = here(block("import httpx"), digits_service)
    printed = run(f"{sys.executable} - <<'END'\n{program}\nEND", reader).split()
    answer = json.loads(run(here(block("--retry"), digits_service), reader))

    assert printed[0] == answer["label"]
    assert float(printed[1]) == pytest.approx(answer["probability"])


def test_image_is_kept_under_its_label(reader, tmp_path):
    with running(SHIPPED, feedback=tmp_path / "kept") as service:
        service.wait_until_ready()
        answer = json.loads(run(here(block("/feedback"), service), reader))

    assert (tmp_path / "kept" / answer["file"]).read_bytes() == (reader / "part.png").read_bytes()
    assert answer["file"].startswith("digits/7/")


def test_open_inference_protocol_by_hand(digits_service, reader):
    first, second = here(block("/infer"), digits_service).split("\ncurl ", 1)

    assert json.loads(run(first, reader))["name"] == "digits"
    outputs = json.loads(run(f"curl {second}", reader))["outputs"]
    assert [output["name"] for output in outputs] == ["probabilities", "label"]


def test_every_block_of_the_page_is_run():
    known = ("top_k=3", "import httpx", "--retry", "/feedback", "/infer")
    known += ("openapi-python-client",)  # tests/integration/test_generated_client.py

    assert all(any(word in code for word in known) for code in blocks(PAGE))


def test_keys_as_the_pages_make_them_open(shared_tiny_store, tmp_path):
    """One by docs/security.md, and one for Prometheus by docs/operations.md."""
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    making, serving = documented_commands.block("docs/security.md", "sha256sum").split("HALFTONE_")
    assert serving.strip() == "API_KEYS_FILE=digests python -m app"
    run(making, tmp_path)
    digests = tmp_path / "digests"
    others = run(documented_commands.block("docs/operations.md", "sha256sum"), tmp_path)
    digests.write_text(f"{digests.read_text()}\n{others}")
    mine = (tmp_path / "key").read_text().strip()
    prometheus = (tmp_path / "deploy/monitoring/keys/halftone").read_text().strip()
    headers = {}, {"x-api-key": mine}, {"authorization": f"Bearer {prometheus}"}
    with running(shared_tiny_store.root, api_keys_file=digests) as service:
        answers = [
            httpx.get(f"{service.url}/{path}", headers=each, timeout=PATIENCE_S).status_code
            for path in ("models", "metrics")
            for each in headers
        ]

    assert answers == [401, 200, 200] * 2
