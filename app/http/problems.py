"""The one table from exception to status, and RFC 9457 documents made from it."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app import errors
from app.settings import variable
from model_store import errors as store_errors

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Row:
    """What an exception becomes.

    Attributes:
        status: HTTP status.
        code: stable, for programs.
        title: the same for every occurrence, for people.
        setting: the field of Settings that an operator could change.
        detail: said instead of the exception's own text, where that could hold our internals.
    """

    status: int
    code: str
    title: str
    setting: str | None = None
    detail: str | None = None


_UNUSABLE = Row(
    503,
    "model_unusable",
    "This model version cannot serve",
    detail="The stored version did not pass its checks. The service's log says why.",
)
_INTERNAL = Row(
    500,
    "internal_error",
    "Internal error",
    detail="The service failed. Its log holds the cause under this request_id.",
)

TABLE: Mapping[type[Exception], Row] = {
    errors.InvalidParameter: Row(400, "invalid_parameter", "A parameter is not understood"),
    errors.MalformedUpload: Row(400, "malformed_upload", "The upload is not understood"),
    errors.CompressedUpload: Row(415, "compressed_upload", "The upload is compressed"),
    errors.EmptyUpload: Row(400, "empty_upload", "The upload holds no image"),
    errors.Unauthorized: Row(401, "unauthorized", "A valid API key is needed"),
    errors.FeedbackOff: Row(403, "feedback_off", "No feedback is kept", "feedback"),
    errors.ForeignOrigin: Row(403, "foreign_origin", "Not from this page", "cors_origins"),
    errors.NotInBundle: Row(404, "not_in_bundle", "The model comes without it"),
    store_errors.InvalidName: Row(404, "model_not_found", "No such model"),
    store_errors.ModelNotFound: Row(404, "model_not_found", "No such model"),
    store_errors.VersionNotFound: Row(404, "version_not_found", "No such version"),
    errors.UploadTooSlow: Row(408, "upload_too_slow", "The upload took too long", "upload_seconds"),
    errors.UploadTooLarge: Row(413, "upload_too_large", "Too many bytes", "max_upload_bytes"),
    errors.TooManyImages: Row(413, "too_many_images", "Too many images", "max_images"),
    store_errors.UnsupportedFormat: Row(415, "unsupported_format", "Not a supported image format"),
    store_errors.UndecodableImage: Row(422, "undecodable_image", "The image cannot be decoded"),
    store_errors.TooManyPixels: Row(
        422, "too_many_pixels", "The image has too many pixels", "max_pixels"
    ),
    errors.NothingToSee: Row(422, "nothing_to_see", "There is nothing to see in the picture"),
    errors.ClientGone: Row(499, "client_gone", "The client closed the connection"),
    errors.InferenceFailed: Row(
        500, "inference_failed", "The model failed", detail="The model failed on this image."
    ),
    errors.NonFiniteOutput: Row(
        500,
        "output_not_finite",
        "The model gave no usable answer",
        detail="The model answered with numbers that are not finite.",
    ),
    errors.Overloaded: Row(503, "overloaded", "Too much is queued", "deadline_ms"),
    errors.UploadsFull: Row(
        503, "uploads_full", "Too many bytes are in flight", "max_bytes_in_flight"
    ),
    errors.NotReady: Row(503, "not_ready", "No model is ready"),
    errors.QueueClosed: Row(503, "model_replaced", "The model was just replaced"),
    store_errors.StoreUnreachable: Row(
        503,
        "store_unreachable",
        "The store cannot be read now",
        detail="The object storage that holds this version does not answer. The log says why.",
    ),
    store_errors.StoreUnwritable: Row(
        503,
        "store_unwritable",
        "What must be kept cannot be written",
        "cache_bytes",
        detail="There is no room for it, or no right to write it. The log says why.",
    ),
    store_errors.StoreDamaged: _UNUSABLE,
    store_errors.InvalidManifest: _UNUSABLE,
    store_errors.CorruptBundle: _UNUSABLE,
    store_errors.ProbeMismatch: _UNUSABLE,
    store_errors.UnsafeModel: _UNUSABLE,
    store_errors.IncompatibleModel: _UNUSABLE,
    store_errors.EngineUnavailable: _UNUSABLE,
    errors.FeedbackFull: Row(
        507, "feedback_full", "There is no room for more feedback", "feedback_bytes"
    ),
    errors.DeadlineExpired: Row(504, "deadline_expired", "The deadline passed", "deadline_ms"),
}

_PATH_PARTS: Mapping[str, type[Exception]] = {
    "version": store_errors.VersionNotFound,
    "number": errors.NotInBundle,
}


def problem(error: Exception, request_id: str) -> dict[str, object]:
    """Return the RFC 9457 members for `error`; `status` among them."""
    row = row_of(error)
    members: dict[str, object] = {
        "type": f"urn:halftone:problem:{row.code}",
        "title": row.title,
        "status": row.status,
        "detail": row.detail or str(error),
        "code": row.code,
        "request_id": request_id,
    }
    if row.setting is not None:
        members["setting"] = variable(row.setting)
    return members


def problem_response(error: Exception, scope: Scope) -> Response:
    """Return the whole answer for `error`, in the form that the request's path calls for."""
    members, media_type = problem(error, scope["state"]["request_id"]), MEDIA_TYPE
    if scope["path"].startswith("/v2"):  # the Open Inference Protocol has a form of its own
        members, media_type = {"error": members["detail"], **members}, "application/json"
    return Response(
        orjson.dumps(members), row_of(error).status, _headers(error), media_type=media_type
    )


def handle_framework_errors(app: FastAPI) -> None:
    """Make the framework's own refusals problems too; all other errors reach the envelope."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            error.detail = _explained(error, request)
        request.state.code = row_of(error).code
        return problem_response(error, request.scope)

    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(RequestValidationError, answer)


def _explained(error: HTTPException, request: Request) -> str:
    """Return what there is, where a path or a method of a request is not."""
    method, path = request.method, request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"Expected {allowed} for {path[:100]}. Received: {method}"
    if error.status_code == 404:
        paths = [str(getattr(route, "path", "")) for route in request.app.routes]
        near = difflib.get_close_matches(path, paths, n=1)
        hint = f"Did you mean {near[0]}?" if near else "Images go to /predict; /docs lists all."
        return f"There is no {path[:100]!r}. {hint}"
    return str(error.detail)


def row_of(error: Exception) -> Row:
    """Return the table's row for `error`, or an opaque 500."""
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_")
        return Row(error.status_code, code, phrase, detail=str(error.detail))
    if isinstance(error, RequestValidationError):
        return _invalid_row(error)
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), _INTERNAL)


def _invalid_row(error: RequestValidationError) -> Row:
    """Return the row of a parameter that FastAPI refused; a part of a path is then not found."""
    first = error.errors()[0]
    place, name = first["loc"][0], first["loc"][-1]
    kind = _PATH_PARTS[str(name)] if place == "path" else errors.InvalidParameter
    detail = f"Expected another {name}. {first['msg']}. Received: {str(first['input'])[:40]!r}"
    return replace(TABLE[kind], detail=detail)


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, HTTPException):
        return dict(error.headers or {})
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    if row_of(error).status == 503:
        return {"Retry-After": "30"}
    if isinstance(error, errors.CompressedUpload):
        return {"Accept-Encoding": "identity"}
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": 'Basic realm="halftone", Bearer realm="halftone"'}
    return {}
