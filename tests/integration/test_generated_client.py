"""A client that openapi-python-client generates as docs/serving.md says."""

import importlib
import sys
from collections.abc import Iterator
from io import BytesIO
from types import ModuleType
from typing import Any

import httpx
import pytest
from documented_commands import block, run
from service_process import PATIENCE_S, Service, images

pytest.importorskip("openapi_python_client")

NAME = "halftone_client"


@pytest.fixture(scope="module")
def generated(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("client")
    commands = block("docs/serving.md", "openapi-python-client generate")
    commands = commands.replace("http://127.0.0.1:8000", service.url)
    run(commands.replace(" generate ", " generate --fail-on-warning "), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "halftone-client")
        yield importlib.import_module(NAME)
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


@pytest.fixture
def client(generated: ModuleType, service: Service) -> Iterator[Any]:
    with generated.Client(base_url=service.url, raise_on_unexpected_status=True) as client:
        yield client


def operation(tag: str, name: str) -> Any:
    return importlib.import_module(f"{NAME}.api.{tag}.{name}")


def part(name: str) -> Any:
    return getattr(importlib.import_module(f"{NAME}.models"), name)


def file_of(data: bytes) -> Any:
    kind = importlib.import_module(f"{NAME}.types").File
    return kind(payload=BytesIO(data), file_name="x.png", mime_type="image/png")


def test_one_image_as_a_form_and_as_the_body(client, service):
    predict = operation("predict", "predict")
    expected = httpx.post(f"{service.url}/predict", content=images(1)[0], timeout=PATIENCE_S).json()

    form = predict.sync(client=client, body=part("PredictFilesBody")(file=file_of(images(1)[0])))
    body = predict.sync(client=client, body=file_of(images(1)[0]), top_k=1)

    assert (form.label, form.model.name) == (expected["label"], "tiny")
    assert form.probability == pytest.approx(expected["probability"])
    assert len(form.predictions) == 3
    assert [item.label for item in body.predictions] == [expected["label"]]


def test_many_images_with_one_that_is_none(client):
    data = [*images(2), b"no image"]
    answer = operation("predict", "predict_batch_with_model").sync(
        "tiny",
        client=client,
        body=part("PredictBatchWithModelBody")(files=[file_of(image) for image in data]),
    )

    assert [type(result).__name__ for result in answer.results] == [
        "BatchResult", "BatchResult", "BatchError",
    ]  # fmt: skip
    assert [result.index for result in answer.results] == [0, 1, 2]
    assert answer.results[2].error.code == "unsupported_format"


def test_refusals_are_problems(client):
    refused = operation("predict", "predict_with_version").sync_detailed(
        "tiny", 9, client=client, body=file_of(images(1)[0])
    )

    assert refused.status_code == 404
    assert type(refused.parsed).__name__ == "Problem"
    assert refused.parsed.code == "version_not_found"


def test_pictures_models_and_health(client):
    preview = operation("look", "preview").sync(client=client, body=file_of(images(1)[0]))
    models = operation("models", "list_models").sync(client=client)
    model = operation("models", "show_model").sync("tiny", client=client)
    health = operation("health", "health").sync(client=client)

    assert preview.payload.read().startswith(b"\x89PNG")
    assert [found.name for found in models.models] == ["tiny"]
    assert model.versions == [1]
    assert health.status.value == "ready"


def test_the_open_inference_protocol(client):
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 12, 10], "data": [0] * 120}
    request = part("InferRequest").from_dict({"inputs": [tensor]})
    infer = operation("open_inference_protocol", "v2_model_infer")

    answer = infer.sync("tiny", client=client, body=request)
    refused = infer.sync("none", client=client, body=request)

    assert answer.model_name == "tiny"
    assert {output.name for output in answer.outputs} == {"probabilities", "label"}
    assert refused.error == "Expected one of: tiny."
