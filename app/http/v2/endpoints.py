"""The protocol's routes."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Header
from starlette.requests import Request
from starlette.responses import Response

import app
from app.errors import InvalidParameter, TooManyImages
from app.http import documentation as docs
from app.http.disconnects import while_connected
from app.http.models import Address, addresses, only
from app.http.predict import count
from app.http.problems import TABLE
from app.http.v2.messages import LABEL, PROBABILITIES, parse_request, write_response
from app.http.v2.schemas import (
    InferAnswer,
    InferRequest,
    ModelMetadata,
    ModelReady,
    ProtocolError,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from app.http.v2.tensors import images_in, read_images, read_pixels
from app.loaded_model import LoadedModel
from app.observability.metrics import Instruments
from app.pipeline import Answer, MakePixels, Pipeline
from app.readiness import Readiness
from app.registry import Registry

IMAGE, PIXELS = "image", "pixels"
EXTENSIONS = ["binary_tensor_data", "classification"]

HeaderLength = Annotated[
    str | None,
    Header(
        alias="Inference-Header-Content-Length",
        description="Bytes of JSON in the body, where a binary tensor follows it.",
        json_schema_extra={"type": "integer", "minimum": 0},
    ),
]


def v2_router(
    registry: Registry,
    pipeline: Pipeline,
    metrics: Instruments,
    readiness: Readiness,
    *,
    max_images: int,
) -> APIRouter:
    """Return the protocol's routes.

    Inputs: `image`, BYTES, encoded images; or `pixels`, UINT8 0-255 or FP32 0-1, preprocessed.
    Outputs: `probabilities`, FP32; `label`, BYTES.
    """
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])
    _add_server(router, readiness)
    for at, suffix in zip(addresses(registry)[1:], ("", "_version"), strict=True):
        _add_model(router, registry, at, suffix)

        @router.post(
            f"{at.prefix}/infer",
            summary="Predict",
            operation_id=f"v2_model_infer{suffix}",
            response_model=InferAnswer,
            responses={200: _BINARY_ANSWER, **_refusals(*docs.IMAGE)},
            openapi_extra=_INFER_REQUEST,
            dependencies=[Depends(only())],
        )
        async def infer(
            request: Request,
            model: Annotated[LoadedModel, Depends(at.find)],
            inference_header_content_length: HeaderLength = None,
        ) -> Response:
            with model.lease():
                pipeline.check(model)
                body = await request.body()

                def read() -> tuple[InferRequest, list[MakePixels]]:
                    wanted, binary = parse_request(body, inference_header_content_length)
                    return wanted, _images(pipeline, model, wanted, binary, max_images)

                wanted, images = await pipeline.in_thread(read)  # numbers as JSON take long
                work = pipeline.predict_many(model, images)
                answers = await while_connected(request.receive, work)
            count(request, metrics, model, answers)
            return write_response(wanted, model, _all_answers(answers))

    return router


def _add_server(router: APIRouter, readiness: Readiness) -> None:
    @router.get(
        "",
        summary="Describe the server",
        operation_id="v2_server_metadata",
        responses=_refusals(*docs.CLOSED),
    )
    async def server() -> ServerMetadata:
        return ServerMetadata(name="halftone", version=app.__version__, extensions=EXTENSIONS)

    @router.get(
        "/health/live",
        summary="Whether the process works",
        operation_id="v2_server_live",
        responses={503: {"model": ServerLive, "description": "No."}},
    )
    async def live(response: Response) -> ServerLive:
        is_live = readiness.alive().is_good
        response.status_code = 200 if is_live else 503
        return ServerLive(live=is_live)

    @router.get(
        "/health/ready",
        summary="Whether the server can predict",
        operation_id="v2_server_ready",
        responses={503: {"model": ServerReady, "description": "No."}},
    )
    async def ready(response: Response) -> ServerReady:
        is_ready = readiness.ready().is_good
        response.status_code = 200 if is_ready else 503
        return ServerReady(ready=is_ready)


def _add_model(router: APIRouter, registry: Registry, at: Address, suffix: str) -> None:
    refusals = _refusals(*docs.MODEL)

    @router.get(
        at.prefix,
        summary="Describe a model",
        operation_id=f"v2_model_metadata{suffix}",
        responses=refusals,
    )
    async def metadata(model: Annotated[LoadedModel, Depends(at.find)]) -> ModelMetadata:
        return describe(model, await registry.versions(model.name))

    @router.get(
        f"{at.prefix}/ready",
        summary="Whether a model can predict",
        operation_id=f"v2_model_ready{suffix}",
        responses=refusals,
    )
    async def model_ready(model: Annotated[LoadedModel, Depends(at.find)]) -> ModelReady:
        return ModelReady(name=model.name, ready=True)


def describe(model: LoadedModel, versions: Sequence[int]) -> ModelMetadata:
    """Return what the protocol tells of a model."""
    labels = len(model.labels)
    return ModelMetadata(
        name=model.name,
        versions=[str(version) for version in versions],
        platform=f"halftone_{model.engine_name}",
        inputs=[
            TensorMetadata(name=IMAGE, datatype="BYTES", shape=[-1]),
            TensorMetadata(name=PIXELS, datatype="UINT8", shape=[-1, *model.shape]),
        ],
        outputs=[
            TensorMetadata(name=PROBABILITIES, datatype="FP32", shape=[-1, labels]),
            TensorMetadata(name=LABEL, datatype="BYTES", shape=[-1]),
        ],
    )


def _images(
    pipeline: Pipeline,
    model: LoadedModel,
    wanted: InferRequest,
    binary: bytes | None,
    max_images: int,
) -> list[MakePixels]:
    tensor = wanted.inputs[0]
    if images_in(tensor) > max_images:
        raise TooManyImages(f"Expected at most {max_images} images. Received: {images_in(tensor)}")
    if tensor.name == IMAGE and tensor.datatype == "BYTES":
        return [pipeline.decoding(model, image) for image in read_images(tensor, binary)]
    if tensor.name == PIXELS and tensor.datatype != "BYTES":
        return [partial(np.asarray, row) for row in read_pixels(tensor, binary, model.shape)]
    raise InvalidParameter(
        f"Expected the input {IMAGE!r} as BYTES, or {PIXELS!r} as UINT8 or FP32. "
        f"Received: {tensor.name[:40]!r} as {tensor.datatype}"
    )


def _all_answers(answers: Sequence[Answer | Exception]) -> list[Answer]:
    """Return the answers, or raise the first error: the protocol has none per image."""
    good = []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        good.append(answer)
    return good


def _refusals(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    statuses = {TABLE[kind].status for kind in kinds}
    return {status: {"model": ProtocolError, "description": "Refused."} for status in statuses}


_BINARY_ANSWER = {
    "content": {"application/octet-stream": {"schema": docs.BINARY}},
    "description": "The answer.",
}
_TENSOR = {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2], "data": [0, 9, 9, 0]}
_INFER_REQUEST = {
    "parameters": [docs.REQUEST_ID],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/InferRequest"},
                "example": {"inputs": [_TENSOR]},
            },
            "application/octet-stream": {"schema": docs.BINARY},
        },
    },
}
