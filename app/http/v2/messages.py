"""Bodies of the Open Inference Protocol: JSON, with or without binary tensors behind it."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.responses import Response

from app.errors import InvalidParameter
from app.http.v2.schemas import InferRequest, RequestedOutput
from app.http.v2.tensors import join_bytes
from app.loaded_model import LoadedModel
from app.pipeline import Answer

PROBABILITIES, LABEL = "probabilities", "label"
HEADER_LENGTH = "inference-header-content-length"


def parse_request(body: bytes, length: str | None) -> tuple[InferRequest, bytes | None]:
    """Return the JSON part of a body, and the binary tensor that follows it, if one does.

    Args:
        body: all of it.
        length: of the JSON part, as the request's header says it; None: it is the whole body.

    Raises:
        InvalidParameter: it is not what the protocol says.
    """
    length = str(len(body)) if length is None else length
    if not re.fullmatch("[0-9]{1,18}", length) or int(length) > len(body):
        raise InvalidParameter("Expected Inference-Header-Content-Length within the body.")
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
