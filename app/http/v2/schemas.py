"""Requests and answers of the Open Inference Protocol."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.http.schemas import Problem

Dimension = Annotated[int, Field(ge=0, le=2**31)]


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


class Tensor(BaseModel):
    """An input, as a request's JSON describes it."""

    name: str
    datatype: Literal["BYTES", "UINT8", "FP32"]
    shape: list[Dimension] = Field(
        max_length=4,
        description="image: [N]. pixels: [N, height, width], or flattened [N, height * width].",
    )
    parameters: dict[str, Any] = {}
    data: list[Any] | None = Field(
        None, description="BYTES as base64, or as one character from U+0000 to U+00FF per byte."
    )


class RequestedOutput(BaseModel):
    """An output that the client wants."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """The JSON part of a request."""

    id: str | None = Field(None, max_length=200)
    parameters: dict[str, Any] = {}
    inputs: list[Tensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = None
