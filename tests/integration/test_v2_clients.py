"""Clients of the Open Inference Protocol as they are published, against a real service."""

import json
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from commands import run
from service_process import PATIENCE_S, Service, images

from model_store.pixels.preprocessing import preprocess
from model_store.store.store import ModelStore

pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

from tritonclient.http import (  # skipped above where it is not installed
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
)
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def triton(service: Service) -> Iterator[InferenceServerClient]:
    host, port = service.address
    with InferenceServerClient(f"{host}:{port}") as client:
        yield client


@pytest.fixture
def kserve_python(tmp_path: Path) -> Path:
    """A Python that has the kserve package, whose pins disagree with this project's."""
    if sys.platform == "linux" and platform.machine() != "x86_64":
        pytest.skip("kserve wants a psutil that has no wheel for this machine")
    packages = tmp_path / "venv", "requirements/kserve.txt"
    done = run("scripts/setup", *packages, env={"PYTHON": sys.executable})
    if done.returncode and re.search("from versions: none|[Cc]onnection", done.stderr):
        pytest.skip(f"the packages of kserve cannot be downloaded: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return tmp_path / "venv" / "bin" / "python"


def encoded(count: int) -> InferInput:
    data = np.array(images(count), object)
    return InferInput("image", [count], "BYTES").set_data_from_numpy(data)


def preprocessed(count: int, store: ModelStore, datatype: str = "UINT8") -> InferInput:
    spec = store.bundle("tiny").manifest.image
    pixels = np.stack([preprocess(image, spec) for image in images(count)])
    if datatype == "FP32":
        pixels = pixels.astype(np.float32) / 255
    return InferInput("pixels", list(pixels.shape), datatype).set_data_from_numpy(pixels)


def test_triton_client_finds_the_service_and_its_models(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny")
    assert triton.is_model_ready("tiny", "1")
    assert not triton.is_model_ready("none")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    metadata = triton.get_model_metadata("tiny")
    assert {tensor["name"] for tensor in metadata["inputs"]} >= {"image", "pixels"}
    assert {tensor["name"] for tensor in metadata["outputs"]} == {"probabilities", "label"}


def test_triton_client_predicts_from_files_and_from_pixels(triton, shared_tiny_store):
    first = triton.infer("tiny", [encoded(3)]).as_numpy("probabilities")
    assert first.shape == (3, 3)
    for datatype in ("UINT8", "FP32"):
        pixels = preprocessed(3, shared_tiny_store, datatype)
        second = triton.infer("tiny", [pixels]).as_numpy("probabilities")
        assert np.allclose(first, second, atol=1e-5)


def test_triton_client_ranks_classes(triton, shared_tiny_store):
    pixels = preprocessed(3, shared_tiny_store)
    top = InferRequestedOutput("probabilities", class_count=1)
    ranked = triton.infer("tiny", [pixels], outputs=[top]).as_numpy("probabilities")
    labels = triton.infer("tiny", [pixels]).as_numpy("label")

    assert [value.decode().split(":")[2] for value in ranked.reshape(-1)] == [
        label.decode() for label in labels.reshape(-1)
    ]


def test_triton_client_shows_the_services_sentence(triton):
    broken = InferInput("image", [1], "BYTES").set_data_from_numpy(np.array([b"no image"], object))

    with pytest.raises(InferenceServerException, match="Expected one of JPEG, PNG"):
        triton.infer("tiny", [broken])
    with pytest.raises(InferenceServerException, match="Expected one of: tiny"):
        triton.infer("none", [encoded(1)])


@pytest.mark.slow
def test_kserve_client_gets_what_predict_answers(
    kserve_python, service, shared_tiny_store, tmp_path
):
    spec = shared_tiny_store.bundle("tiny").manifest.image
    for index, image in enumerate(images(3)):
        (tmp_path / f"{index}.png").write_bytes(image)
    np.save(tmp_path / "pixels.npy", [preprocess(image, spec) for image in images(3)])
    script = Path(__file__).with_name("kserve_client.py")

    done = run(kserve_python, script, service.url, tmp_path)

    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers["health"] == {"live": True, "ready": True, "tiny": True, "none": False}
    assert "Expected one of JPEG, PNG" in answers["refusal"]
    assert len(answers["inferred"]) == 8
    labels = shared_tiny_store.bundle("tiny").manifest.labels
    predicted = [
        httpx.post(f"{service.url}/predict", content=image, timeout=PATIENCE_S).json()
        for image in images(3)
    ]
    rows = [
        {item["label"]: item["probability"] for item in each["predictions"]} for each in predicted
    ]
    expected = [[row[label] for label in labels] for row in rows]
    for way, answer in answers["inferred"].items():
        assert np.allclose(answer["probabilities"], expected, atol=1e-5), way
        assert answer["label"] == [each["label"] for each in predicted], way
