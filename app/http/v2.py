"""/v2: the Open Inference Protocol, for clients of KServe and Triton."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

import app
from app.errors import InvalidParameter, TooManyImages
from app.http import v2_documentation as docs
from app.http.disconnects import while_connected
from app.http.predict import count
from app.http.resolving import resolve
from app.http.tensors import InferRequest, RequestedOutput, join_bytes, read_images, read_pixels
from app.http.uploads import read_body
from app.loaded_model import LoadedModel
from app.metrics import Metrics
from app.pipeline import Answer, MakePixels, Pipeline
from app.readiness import Readiness
from app.registry import Registry
from app.watchdog import Watchdog

IMAGE, PIXELS, PROBABILITIES, LABEL = "image", "pixels", "probabilities", "label"
HEADER_LENGTH = "inference-header-content-length"
EXTENSIONS = ["binary_tensor_data", "classification"]


class OpenInference:
    """The protocol's endpoints.

    Inputs: `image`, BYTES, encoded images; or `pixels`, UINT8 0-255 or FP32 0-1, preprocessed.
    Outputs: `probabilities`, FP32; `label`, BYTES.
    """

    def __init__(
        self,
        registry: Registry,
        pipeline: Pipeline,
        metrics: Metrics,
        readiness: Readiness,
        watchdog: Watchdog,
        *,
        max_images: int,
    ) -> None:
        self._registry = registry
        self._pipeline = pipeline
        self._metrics = metrics
        self._readiness = readiness
        self._watchdog = watchdog
        self._max_images = max_images

    def router(self) -> APIRouter:
        """Return the protocol's routes."""
        router = APIRouter(prefix="/v2", tags=["open inference protocol"])
        router.add_api_route("", self.server, **docs.v2_route("server_metadata"))
        router.add_api_route("/health/live", self.live, **docs.v2_route("server_live"))
        router.add_api_route("/health/ready", self.ready, **docs.v2_route("server_ready"))
        for prefix in ("/models/{name}", "/models/{name}/versions/{version}"):
            of = "_version" if "version" in prefix else ""
            for suffix, endpoint, method, operation in (
                ("", self.model, "GET", "model_metadata"),
                ("/ready", self.model_ready, "GET", "model_ready"),
                ("/infer", self.infer, "POST", "model_infer"),
            ):
                router.add_api_route(
                    f"{prefix}{suffix}",
                    endpoint,
                    methods=[method],
                    **docs.v2_route(f"{operation}{of}", prefix),
                )
        return router

    async def server(self) -> Response:
        """Describe the server."""
        return _json({"name": "halftone", "version": app.__version__, "extensions": EXTENSIONS})

    async def live(self) -> Response:
        """Say whether the process works."""
        is_live = self._watchdog.why_not_alive() is None
        return _json({"live": is_live}, 200 if is_live else 503)

    async def ready(self) -> Response:
        """Say whether the server can predict."""
        is_ready = self._readiness.condition().is_ready
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    async def model(self, request: Request) -> Response:
        """Describe a model."""
        served = await resolve(self._registry, request.path_params)
        versions = await self._registry.versions(served.name)
        return _json(
            {
                "name": served.name,
                "versions": [str(version) for version in versions],
                "platform": f"halftone_{served.engine_name}",
                "inputs": [
                    {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
                    {"name": PIXELS, "datatype": "UINT8", "shape": [-1, *served.shape]},
                ],
                "outputs": [
                    {
                        "name": PROBABILITIES,
                        "datatype": "FP32",
                        "shape": [-1, len(served.labels)],
                    },
                    {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
                ],
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """Say whether a model can predict."""
        served = await resolve(self._registry, request.path_params)
        return _json({"name": served.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Predict."""
        served = await resolve(self._registry, request.path_params)
        with served.lease():
            self._pipeline.check(served)
            wanted, binary = parse_request(await read_body(request.receive), request)
            work = self._pipeline.predict_many(served, self._images(served, wanted, binary))
            answers = await while_connected(request.receive, work)
        count(request, self._metrics, served, answers)
        return write_response(wanted, served, _all_answers(answers))

    def _images(
        self, served: LoadedModel, wanted: InferRequest, binary: bytes | None
    ) -> list[MakePixels]:
        tensor = wanted.inputs[0]
        if tensor.name == IMAGE and tensor.datatype == "BYTES":
            images = read_images(tensor, binary)
            self._check_count(len(images))
            return [self._pipeline.decoding(served, image) for image in images]
        if tensor.name == PIXELS and tensor.datatype != "BYTES":
            self._check_count(tensor.shape[0] if tensor.shape else 0)
            return [_given(row) for row in read_pixels(tensor, binary, served.shape)]
        raise InvalidParameter(
            f"Expected the input {IMAGE!r} as BYTES, or {PIXELS!r} as UINT8 or FP32. "
            f"Received: {tensor.name[:40]!r} as {tensor.datatype}"
        )

    def _check_count(self, images: int) -> None:
        if images > self._max_images:
            raise TooManyImages(f"Expected at most {self._max_images} images. Received: {images}")


def parse_request(body: bytes, request: Request) -> tuple[InferRequest, bytes | None]:
    """Return the JSON part of a body, and the binary tensor that follows it, if one does.

    Raises:
        InvalidParameter: it is not what the protocol says.
    """
    length = request.headers.get(HEADER_LENGTH, str(len(body)))
    if not (length.isascii() and length.isdigit()) or int(length) > len(body):
        raise InvalidParameter("Expected Inference-Header-Content-Length within the body.")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise InvalidParameter("Expected a body that is not compressed.")
    try:
        wanted = InferRequest.model_validate(orjson.loads(body[: int(length)]))
    except orjson.JSONDecodeError as error:
        raise InvalidParameter(f"Expected JSON. {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidParameter(f"{where}: {first['msg']}") from error
    return wanted, _binary(wanted, body[int(length) :])


def write_response(
    wanted: InferRequest, served: LoadedModel, answers: Sequence[Answer]
) -> Response:
    """Return the outputs that were asked for, as JSON or with binary tensors behind it."""
    probabilities = np.stack([answer.probabilities for answer in answers])  # (N, labels)
    default = [RequestedOutput(name=PROBABILITIES), RequestedOutput(name=LABEL)]
    outputs, chunks = [], []
    for output in wanted.outputs or default:
        tensor, values = _output(output, served, probabilities)
        if output.parameters.get("binary_data", wanted.parameters.get("binary_data_output")):
            chunk = join_bytes(values) if tensor["datatype"] == "BYTES" else values.tobytes()
            tensor["parameters"] = {"binary_data_size": len(chunk)}
            chunks.append(chunk)
        elif tensor["datatype"] == "BYTES":
            tensor["data"] = [value.decode() for value in values]
        else:
            tensor["data"] = values.reshape(-1).tolist()
        outputs.append(tensor)
    head = orjson.dumps(
        {
            "model_name": served.name,
            "model_version": str(served.version),
            **({"id": wanted.id} if wanted.id is not None else {}),
            "outputs": outputs,
        }
    )
    if not chunks:
        return Response(head, media_type="application/json")
    return Response(
        head + b"".join(chunks),
        media_type="application/octet-stream",
        headers={HEADER_LENGTH: str(len(head))},
    )


def _binary(wanted: InferRequest, rest: bytes) -> bytes | None:
    size = wanted.inputs[0].parameters.get("binary_data_size")
    if size is None:
        if wanted.inputs[0].data is None or rest:
            raise InvalidParameter("Expected either data or binary_data_size for the input.")
        return None
    if size != len(rest):
        raise InvalidParameter(f"Expected {size!r} bytes after the JSON. Received: {len(rest)}")
    return rest


def _output(
    output: RequestedOutput, served: LoadedModel, probabilities: NDArray[np.float32]
) -> tuple[dict[str, Any], Any]:
    """Return an output's description, and its values: an array, or a list of bytes."""
    images, labels = probabilities.shape
    top = output.parameters.get("classification")
    if output.name == PROBABILITIES and top is None:
        tensor = {"name": PROBABILITIES, "datatype": "FP32", "shape": [images, labels]}
        return tensor, probabilities.astype("<f4")
    if output.name == PROBABILITIES:
        if not isinstance(top, int) or top < 1:
            raise InvalidParameter("Expected classification to be a whole number of at least 1.")
        rows = [_classes(row, served.labels, top) for row in probabilities]
        tensor = {"name": PROBABILITIES, "datatype": "BYTES", "shape": [images, len(rows[0])]}
        return tensor, [text for row in rows for text in row]
    if output.name == LABEL:
        best = [served.labels[index].encode() for index in probabilities.argmax(axis=1)]
        return {"name": LABEL, "datatype": "BYTES", "shape": [images]}, best
    raise InvalidParameter(
        f"Expected the outputs {PROBABILITIES!r} and {LABEL!r}. Received: {output.name[:40]!r}"
    )


def _classes(row: NDArray[np.float32], labels: Sequence[str], top: int) -> list[bytes]:
    """Return `value:index:label` of the most probable classes, as Triton writes them."""
    order = np.argsort(-row, kind="stable")[:top].tolist()
    return [f"{row[index]:f}:{index}:{labels[index]}".encode() for index in order]


def _all_answers(answers: Sequence[Answer | Exception]) -> list[Answer]:
    """Return the answers, or raise the first error: the protocol has none per image."""
    good = []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        good.append(answer)
    return good


def _given(pixels: NDArray[np.uint8]) -> MakePixels:
    return lambda: pixels


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
