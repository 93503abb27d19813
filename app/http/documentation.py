"""The OpenAPI document: every status of every route, with an example."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import errors
from app.http.access import OPEN_PATHS
from app.http.problems import MEDIA_TYPE, problem
from app.http.schemas import BatchAnswer, PredictAnswer, Problem
from app.http.tensors import InferRequest
from model_store import errors as store_errors

_EXAMPLES: dict[int, tuple[Exception, ...]] = {
    400: (
        errors.InvalidParameter(
            "Expected top_k to be a whole number of at least 1. Received: 'many'"
        ),
        errors.MalformedUpload("Expected a form field named 'file'. Received: 'image'"),
        errors.EmptyUpload("Expected an image as the body. Received: no bytes"),
    ),
    401: (errors.Unauthorized("Expected a valid API key. Received: none"),),
    404: (store_errors.ModelNotFound("Expected one of: casting, digits."),),
    408: (errors.UploadTooSlow("Expected the whole body in time. Received: 1024 bytes"),),
    413: (errors.UploadTooLarge("Expected at most 20000000 bytes. Received: 31457280 or more"),),
    415: (
        store_errors.UnsupportedFormat(
            "Expected one of JPEG, PNG, WEBP, BMP, GIF. Received: 12 bytes of no known image format"
        ),
    ),
    422: (
        store_errors.UndecodableImage("Expected a complete PNG image. Received: 40 bytes"),
        store_errors.TooManyPixels(
            "Expected at most 50000000 pixels. Received: a PNG header that announces 40000 x 40000"
        ),
    ),
    500: (errors.InferenceFailed(""),),
    503: (
        errors.Overloaded("What is queued takes 2400 ms; the deadline is 2000 ms."),
        errors.NotReady("The store has no models."),
    ),
    504: (errors.DeadlineExpired("The deadline passed while the image waited."),),
}

_TOP_K = {
    "name": "top_k",
    "in": "query",
    "required": False,
    "description": "Only the most probable classes. Unset: all.",
    "schema": {"type": "integer", "minimum": 1},
}
_LABEL = {
    "name": "label",
    "in": "query",
    "required": False,
    "description": "The class to explain. Unset: the most probable one.",
    "schema": {"type": "string"},
}
REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Taken over into the answer, the log and traces, if it is 1 to 64 letters, "
    "digits, and . _ : or -.",
    "schema": {"type": "string"},
}
_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "A model's name.",
    "schema": {"type": "string"},
    "example": "casting",
}
_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "A version in the store.",
    "schema": {"type": "integer", "minimum": 1},
    "example": 3,
}
_REFERENCE = {"request_id": "5f2b9c0d1e3a4b6c", "model": {"name": "casting", "version": 3}}
_RANKING = {
    "label": "ok_front",
    "probability": 0.9871,
    "predictions": [
        {"label": "ok_front", "probability": 0.9871},
        {"label": "def_front", "probability": 0.0129},
    ],
}
BINARY = {"type": "string", "format": "binary"}
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "basic": {"type": "http", "scheme": "basic", "description": "Any name; the key as password."},
}


def predict_route(prefix: str) -> dict[str, Any]:
    """Return what FastAPI is told of the route for one image."""
    return {
        "summary": "Predict one image",
        "description": "The image as the form field `file`, or as the raw body: JPEG, PNG, WebP, "
        "BMP or GIF. Its content alone decides its format, not its name or Content-Type.",
        "operation_id": _operation("predict", prefix),
        "responses": {
            200: _success(PredictAnswer, {**_REFERENCE, **_RANKING}, timed=True),
            **problems(400, 401, 404, 408, 413, 415, 422, 500, 503, 504),
        },
        "openapi_extra": {
            "requestBody": _one_image(),
            "parameters": [*named(prefix)["parameters"], _TOP_K, REQUEST_ID],
        },
    }


def batch_route(prefix: str) -> dict[str, Any]:
    """Return what FastAPI is told of the route for many images."""
    form = _form({"files": {"type": "array", "items": BINARY, "minItems": 1}}, "files")
    error = problem(store_errors.UndecodableImage("Expected a complete PNG image."), "5f2b9c0d")
    example = {**_REFERENCE, "results": [{"index": 0, **_RANKING}, {"index": 1, "error": error}]}
    return {
        "summary": "Predict many images",
        "description": "The form field `files`, repeated. One entry per image, in order: a "
        "prediction, or the error that this image would have met alone.",
        "operation_id": _operation("predict_batch", prefix),
        "responses": {
            200: _success(BatchAnswer, example, timed=True),
            **problems(400, 401, 404, 408, 413, 500, 503, 504),
        },
        "openapi_extra": {
            "requestBody": {"required": True, "content": form},
            "parameters": [*named(prefix)["parameters"], _TOP_K, REQUEST_ID],
        },
    }


def picture_route(action: str, prefix: str) -> dict[str, Any]:
    """Return what FastAPI is told of the routes that answer with a PNG."""
    texts = {
        "preview": ("Show what the model saw", "The preprocessed pixels as a grayscale PNG."),
        "explain": (
            "Show where the model looked",
            "A heat map as an RGBA PNG of the preview's size: red speaks for the class, blue "
            "against it, by painting over one patch at a time. It cannot tell what patches do "
            "together, and costs as much as some 200 predictions.",
        ),
    }
    parameters = [*named(prefix)["parameters"], *([_LABEL] if action == "explain" else [])]
    parameters.append(REQUEST_ID)
    return {
        "summary": texts[action][0],
        "description": texts[action][1],
        "operation_id": _operation(action, prefix),
        "responses": {
            200: {"content": {"image/png": {"schema": BINARY}}, "description": "The picture."},
            **problems(400, 401, 404, 408, 413, 415, 422, 500, 503, 504),
        },
        "openapi_extra": {"requestBody": _one_image(), "parameters": parameters},
    }


def named(prefix: str) -> dict[str, Any]:
    """Return the path parameters of a prefix, in OpenAPI's words."""
    return {"parameters": [p for p in (_NAME, _VERSION) if f"{{{p['name']}}}" in prefix]}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of error statuses, one example per code."""
    return {status: _problem(status) for status in statuses}


def complete_openapi(app: FastAPI, *, asks_for_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document: what FastAPI knows, what routes only refer to, and the keys."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
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
    examples = [problem(error, "5f2b9c0d1e3a4b6c") for error in _EXAMPLES[status]]
    headers = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        "description": "; or ".join(str(example["title"]) for example in examples),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {str(example["code"]): {"value": example} for example in examples},
            }
        },
        **({"headers": headers} if status == 503 else {}),
    }


def _success(model: type, example: dict[str, Any], *, timed: bool = False) -> dict[str, Any]:
    timing = {
        "schema": {"type": "string"},
        "description": "Milliseconds: decode, queue, inference, total.",
    }
    return {
        "model": model,
        "description": "The prediction.",
        "content": {"application/json": {"example": example}},
        **({"headers": {"Server-Timing": timing}} if timed else {}),
    }


def _form(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"multipart/form-data": {"schema": schema}}


def _one_image() -> dict[str, Any]:
    form = _form({"file": {**BINARY, "description": "The image."}}, "file")
    # Any other type is read as the image too; generators of clients understand this one.
    return {"required": True, "content": {**form, "application/octet-stream": {"schema": BINARY}}}


def _operation(action: str, prefix: str) -> str:
    """Return an id that generated clients can use as a function's name."""
    return action + {2: "_with_model", 4: "_with_version"}.get(prefix.count("/"), "")
