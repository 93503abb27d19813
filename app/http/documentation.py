"""What FastAPI cannot know of the routes: bodies that are images, and what may go wrong."""

from typing import Any

from fastapi import FastAPI

from app import errors
from app.http.api_keys import OPEN_PATHS
from app.http.problems import MEDIA_TYPE, TABLE, problem
from app.http.schemas import Problem
from app.http.v2.schemas import InferRequest
from model_store import errors as store_errors

BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Taken over into the answer, the log and traces, if it is 1 to 64 letters, "
    "digits, and . _ : or -.",
    "schema": {"type": "string"},
}
TIMED = {
    "description": "The prediction.",
    "headers": {
        "Server-Timing": {
            "schema": {"type": "string"},
            "description": "Milliseconds: decode, queue, inference, total.",
        }
    },
}
TAGS = [
    {"name": "predict", "description": "Encoded images in, class probabilities out."},
    {"name": "look", "description": "What a model saw of an image, and where it looked."},
    {"name": "models", "description": "What is served: labels, metrics, examples, reports."},
    {"name": "feedback", "description": "Images with their right label, for the next training."},
    {"name": "health", "description": "For people, supervisors, balancers and Prometheus."},
    {
        "name": "open inference protocol",
        "description": "What clients of Triton and KServe speak, version 2.",
    },
]


def _upload(fields: dict[str, Any], *other_types: str) -> dict[str, Any]:
    """Return the body of a request with a form of such fields, and what it may carry besides."""
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    content = {"multipart/form-data": {"schema": schema}}
    content |= {kind: {"schema": BINARY} for kind in other_types}
    return {"requestBody": {"required": True, "content": content}, "parameters": [REQUEST_ID]}


_FILE: dict[str, Any] = {**BINARY, "description": "The image."}
# Any other type is read as the image too; generators of clients understand this one.
ONE_IMAGE = _upload({"file": _FILE}, "application/octet-stream")
MANY_IMAGES = _upload({"files": {"type": "array", "items": BINARY, "minItems": 1}})
LABELLED_IMAGE = _upload({"file": _FILE, "label": {"type": "string"}})

# What may go wrong with every route but health; with a model; with a body; with an image.
CLOSED = (errors.Unauthorized,)
MODEL = (*CLOSED, store_errors.ModelNotFound, store_errors.VersionNotFound, errors.NotReady)
_UPLOAD = (
    *(errors.InvalidParameter, errors.MalformedUpload, errors.EmptyUpload, errors.UploadTooSlow),
    *(errors.CompressedUpload, errors.UploadTooLarge, errors.TooManyImages, errors.UploadsFull),
)
_PIXELS = (
    store_errors.UnsupportedFormat,
    store_errors.UndecodableImage,
    store_errors.TooManyPixels,
)
_DEADLINE = (errors.Overloaded, errors.DeadlineExpired)
BODY = (*MODEL, *_UPLOAD, *_DEADLINE, errors.InferenceFailed, errors.NonFiniteOutput)
IMAGE = (*BODY, *_PIXELS, errors.NothingToSee)
_KEEPING = (errors.FeedbackOff, errors.ForeignOrigin, errors.FeedbackFull)
FEEDBACK = (*MODEL, *_UPLOAD, *_PIXELS, *_KEEPING)
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "basic": {"type": "http", "scheme": "basic", "description": "Any name; the key as password."},
}


def problems(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a route's errors, one example per code."""
    documented: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        row = TABLE[kind]
        content: dict[str, Any] = {"schema": _PROBLEM, "examples": {}}
        found = documented.setdefault(
            row.status, {"description": "", "content": {MEDIA_TYPE: content}}
        )
        if row.status == 503:
            found["headers"] = _RETRY
        found["description"] += f" {row.title}."
        example = problem(kind(f"Why, and what was expected: {kind.__doc__}"), "5f2b9c0d1e3a4b6c")
        found["content"][MEDIA_TYPE]["examples"][row.code] = {"value": example}
    return documented


def complete_openapi(app: FastAPI, *, asks_for_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document: what FastAPI knows, what routes only refer to, and the keys."""
    document = FastAPI.openapi(app)  # made once
    schemas = document["components"]["schemas"]
    for model in (Problem, InferRequest):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    if asks_for_keys:
        document["components"]["securitySchemes"] = _SECURITY_SCHEMES
        document["security"] = [{name: []} for name in _SECURITY_SCHEMES]
        for path in OPEN_PATHS:
            document["paths"][path]["get"]["security"] = []
    return document
