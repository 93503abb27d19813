"""What the OpenAPI document says of the Open Inference Protocol."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.http.documentation import BINARY, REQUEST_ID, named
from app.http.schemas import Problem


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the process works."""

    live: bool


class ServerReady(BaseModel):
    """Whether the server can predict."""

    ready: bool


class TensorMetadata(BaseModel):
    """An input or output of a model."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 is the number of images.")


class ModelMetadata(BaseModel):
    """A model."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """Whether a model can predict."""

    name: str
    ready: bool


class OutputTensor(BaseModel):
    """An output; without data, its bytes follow the JSON."""

    name: str = Field(examples=["probabilities", "label"])
    datatype: str = Field(examples=["FP32", "BYTES"])
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferAnswer(BaseModel):
    """The answer to an inference."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ProtocolError(Problem):
    """The protocol's form of an error, with the members of a problem."""

    error: str = Field(description="The same as detail.", examples=["Expected one of: digits."])


_ANSWERS: dict[str, type[BaseModel]] = {
    "server_metadata": ServerMetadata,
    "server_live": ServerLive,
    "server_ready": ServerReady,
    "model_metadata": ModelMetadata,
    "model_ready": ModelReady,
    "model_infer": InferAnswer,
}
_HEADER_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "Bytes of JSON in the body, where a binary tensor follows it.",
    "schema": {"type": "integer", "minimum": 0},
}
_REFUSALS = {
    "server": (401,),
    "model": (401, 404, 500, 503),
    "infer": (400, 401, 404, 408, 413, 415, 422, 500, 503, 504),
}


def v2_route(operation: str, prefix: str = "") -> dict[str, Any]:
    """Return what FastAPI is told of a route of the Open Inference Protocol."""
    kind = operation.removesuffix("_version")
    answer = _ANSWERS[kind]
    responses: dict[int, dict[str, Any]] = {200: {"model": answer, "description": "The answer."}}
    if kind in ("server_live", "server_ready"):  # asked without a key
        responses[503] = {"model": answer, "description": "No."}
    else:
        refusals = _REFUSALS["infer" if kind == "model_infer" else kind.partition("_")[0]]
        refused = {"model": ProtocolError, "description": "Refused."}
        responses |= dict.fromkeys(refusals, refused)
    extra = named(prefix)
    if kind == "model_infer":
        responses[200]["content"] = {"application/octet-stream": {"schema": BINARY}}
        extra["requestBody"] = _infer_request()
        extra["parameters"] += [_HEADER_LENGTH, REQUEST_ID]
    return {
        "summary": operation.replace("_", " ").capitalize(),
        "operation_id": f"v2_{operation}",
        "responses": responses,
        "openapi_extra": extra,
    }


def _infer_request() -> dict[str, Any]:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2], "data": [0, 9, 9, 0]}
    schema = {"$ref": "#/components/schemas/InferRequest"}
    content = {
        "application/json": {"schema": schema, "example": {"inputs": [tensor]}},
        "application/octet-stream": {"schema": BINARY},
    }
    return {"required": True, "content": content}
