"""Clients of the Open Inference Protocol as they are published, against a real service."""

from collections.abc import Iterator

import numpy as np
import pytest
from test_service import images, running

from model_store.preprocessing import preprocess
from model_store.store import ModelStore

pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

from tritonclient.http import (  # skipped above where it is not installed
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
)
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def triton(shared_tiny_store: ModelStore) -> Iterator[InferenceServerClient]:
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        host, port = service.address
        with InferenceServerClient(f"{host}:{port}") as client:
            yield client


def encoded(count: int) -> InferInput:
    data = np.array(images(count), object)
    return InferInput("image", [count], "BYTES").set_data_from_numpy(data)


def preprocessed(count: int, store: ModelStore, datatype: str = "UINT8") -> InferInput:
    spec = store.bundle("tiny").manifest.image
    pixels = np.stack([preprocess(image, spec) for image in images(count)])
    if datatype == "FP32":
        pixels = pixels.astype(np.float32) / 255
    return InferInput("pixels", list(pixels.shape), datatype).set_data_from_numpy(pixels)


def test_triton_client_finds_the_service_and_its_models(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny")
    assert triton.is_model_ready("tiny", "1")
    assert not triton.is_model_ready("none")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    metadata = triton.get_model_metadata("tiny")
    assert {tensor["name"] for tensor in metadata["inputs"]} >= {"image", "pixels"}
    assert {tensor["name"] for tensor in metadata["outputs"]} == {"probabilities", "label"}


def test_triton_client_predicts_from_files_and_from_pixels(
    triton: InferenceServerClient, shared_tiny_store: ModelStore
) -> None:
    first = triton.infer("tiny", [encoded(3)]).as_numpy("probabilities")
    assert first.shape == (3, 3)
    for datatype in ("UINT8", "FP32"):
        pixels = preprocessed(3, shared_tiny_store, datatype)
        second = triton.infer("tiny", [pixels]).as_numpy("probabilities")
        assert np.allclose(first, second, atol=1e-5)


def test_triton_client_ranks_classes(
    triton: InferenceServerClient, shared_tiny_store: ModelStore
) -> None:
    pixels = preprocessed(3, shared_tiny_store)
    top = InferRequestedOutput("probabilities", class_count=1)
    ranked = triton.infer("tiny", [pixels], outputs=[top]).as_numpy("probabilities")
    labels = triton.infer("tiny", [pixels]).as_numpy("label")

    assert [value.decode().split(":")[2] for value in ranked.reshape(-1)] == [
        label.decode() for label in labels.reshape(-1)
    ]


def test_triton_client_shows_the_services_sentence(triton: InferenceServerClient) -> None:
    broken = InferInput("image", [1], "BYTES").set_data_from_numpy(np.array([b"no image"], object))

    with pytest.raises(InferenceServerException, match="Expected one of JPEG, PNG"):
        triton.infer("tiny", [broken])
    with pytest.raises(InferenceServerException, match="Expected one of: tiny"):
        triton.infer("none", [encoded(1)])
