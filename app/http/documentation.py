"""What FastAPI cannot know of the routes: bodies that are images, and what may go wrong."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import errors
from app.http.api_keys import OPEN_PATHS
from app.http.problems import MEDIA_TYPE, TABLE, problem
from app.http.schemas import Problem
from app.http.v2.schemas import InferRequest
from model_store import errors as store_errors

BINARY = {"type": "string", "format": "binary"}
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
# What may go wrong with every route but health; with a model; with a body; with an image.
CLOSED = (errors.Unauthorized,)
MODEL = (*CLOSED, store_errors.ModelNotFound, store_errors.VersionNotFound, errors.NotReady)
BODY = (
    *MODEL,
    *(errors.InvalidParameter, errors.MalformedUpload, errors.EmptyUpload, errors.UploadTooSlow),
    *(
        errors.CompressedUpload,
        errors.UploadTooLarge,
        errors.TooManyImages,
        errors.Overloaded,
        errors.UploadsFull,
    ),
    *(errors.DeadlineExpired, errors.InferenceFailed, errors.NonFiniteOutput),
)
IMAGE = (
    *BODY,
    *(store_errors.UnsupportedFormat, store_errors.UndecodableImage, store_errors.TooManyPixels),
    errors.NothingToSee,
)
FEEDBACK = (
    *CLOSED,
    *(store_errors.ModelNotFound, store_errors.VersionNotFound, errors.NotReady),
    *(errors.FeedbackOff, errors.ForeignOrigin, errors.FeedbackFull),
    *(errors.InvalidParameter, errors.MalformedUpload, errors.EmptyUpload, errors.UploadTooSlow),
    *(errors.CompressedUpload, errors.UploadTooLarge, errors.TooManyImages, errors.UploadsFull),
    *(store_errors.UnsupportedFormat, store_errors.UndecodableImage, store_errors.TooManyPixels),
)
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
        found = documented.setdefault(row.status, _problem(row.status))
        found["description"] += f" {row.title}."
        example = problem(kind(f"Why, and what was expected: {kind.__doc__}"), "5f2b9c0d1e3a4b6c")
        found["content"][MEDIA_TYPE]["examples"][row.code] = {"value": example}
    return documented


def one_image() -> dict[str, Any]:
    """Return the body of a request with one image, and what all such requests may carry."""
    form = _form({"file": {**BINARY, "description": "The image."}}, "file")
    # Any other type is read as the image too; generators of clients understand this one.
    content = {**form, "application/octet-stream": {"schema": BINARY}}
    return {"requestBody": {"required": True, "content": content}, "parameters": [REQUEST_ID]}


def many_images() -> dict[str, Any]:
    """Return the same for a request with many images."""
    form = _form({"files": {"type": "array", "items": BINARY, "minItems": 1}}, "files")
    return {"requestBody": {"required": True, "content": form}, "parameters": [REQUEST_ID]}


def labelled_image() -> dict[str, Any]:
    """Return the same for a request with one image and its label."""
    properties = {"file": {**BINARY, "description": "The image."}, "label": {"type": "string"}}
    content = _form(properties, "file", "label")
    return {"requestBody": {"required": True, "content": content}, "parameters": [REQUEST_ID]}


def complete_openapi(app: FastAPI, *, server: str, asks_for_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document: what FastAPI knows, what routes only refer to, and the keys."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            tags=TAGS,
            routes=app.routes,
            servers=[{"url": server}],
        )
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for model in (Problem, InferRequest):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
        if asks_for_keys:
            components["securitySchemes"] = _SECURITY_SCHEMES
            document["security"] = [{name: []} for name in _SECURITY_SCHEMES]
            for path in OPEN_PATHS:
                document["paths"][path]["get"]["security"] = []
        app.openapi_schema = document
    return app.openapi_schema


def _problem(status: int) -> dict[str, Any]:
    retry = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    schema = {"$ref": "#/components/schemas/Problem"}
    content: dict[str, Any] = {MEDIA_TYPE: {"schema": schema, "examples": {}}}
    return {
        "description": "",
        "content": content,
        **({"headers": retry} if status == 503 else {}),
    }


def _form(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"multipart/form-data": {"schema": schema}}
