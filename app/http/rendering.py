"""Answers as JSON: dictionaries straight to bytes, no model object per class."""

import time

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.http.problems import problem
from app.loaded_model import LoadedModel
from app.pipeline import Answer, Timings

JSON = "application/json"


def prediction(answer: Answer, top_k: int | None) -> dict[str, object]:
    """Return label, probability and predictions of one answer, most probable first."""
    labels = answer.served.labels
    probabilities = answer.probabilities.tolist()
    # Stable, so that equal probabilities keep the labels' order.
    order = np.argsort(-answer.probabilities, kind="stable")[:top_k].tolist()
    ranked = [{"label": labels[i], "probability": probabilities[i]} for i in order]
    return {**ranked[0], "predictions": ranked}


def model_reference(served: LoadedModel) -> dict[str, object]:
    """Return the name and version that computed an answer."""
    return {"name": served.name, "version": served.version}


def single_response(request: Request, answer: Answer, top_k: int | None) -> Response:
    """Return the answer to one image."""
    body = {
        "request_id": request.state.request_id,
        "model": model_reference(answer.served),
        **prediction(answer, top_k),
    }
    return _json(request, body, [answer.timings])


def batch_response(
    request: Request, served: LoadedModel, answers: list[Answer | Exception], top_k: int | None
) -> Response:
    """Return one entry per image, in order: a prediction, or a problem."""
    request_id = request.state.request_id
    body = {
        "request_id": request_id,
        "model": model_reference(served),
        "results": [
            {"index": index, **_entry(answer, top_k, request_id)}
            for index, answer in enumerate(answers)
        ],
    }
    timings = [answer.timings for answer in answers if isinstance(answer, Answer)]
    return _json(request, body, timings)


def _entry(answer: Answer | Exception, top_k: int | None, request_id: str) -> dict[str, object]:
    if isinstance(answer, Answer):
        return prediction(answer, top_k)
    return {"error": problem(answer, request_id)}


def _json(request: Request, body: dict[str, object], timings: list[Timings]) -> Response:
    headers = {"server-timing": server_timing(timings, request.state.started_at)}
    return Response(orjson.dumps(body), media_type=JSON, headers=headers)


def server_timing(timings: list[Timings], started_at: float) -> str:
    """Return the Server-Timing header: the longest of each stage, and the total, in ms.

    Args:
        timings: one per image that was computed.
        started_at: `time.monotonic()` when the request arrived.
    """
    stages = [(0.0, 0.0, 0.0)]
    stages += [(timing.decode_ms, timing.queue_ms, timing.inference_ms) for timing in timings]
    decode_ms, queue_ms, inference_ms = map(max, zip(*stages, strict=True))
    total_ms = 1000 * (time.monotonic() - started_at)
    return (
        f"decode;dur={decode_ms:.3f}, queue;dur={queue_ms:.3f}, "
        f"inference;dur={inference_ms:.3f}, total;dur={total_ms:.3f}"
    )
