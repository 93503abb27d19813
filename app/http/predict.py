"""POST /predict and its kin: one image or many, the default model or a named one."""

import time
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.http import documentation as docs
from app.http.disconnects import while_connected
from app.http.models import addresses, only
from app.http.problems import problem, row_of
from app.http.schemas import BatchAnswer, PredictAnswer
from app.http.uploads import read_image, read_images
from app.loaded_model import LoadedModel
from app.observability.metrics import Instruments
from app.pipeline import STAGES, Answer, Pipeline, Timings
from app.registry import Registry
from model_store.spec import ALL_FORMATS

TopK = Annotated[
    int | None,
    Query(ge=1, le=2**31, description="Only the most probable classes. Unset: all."),
]


KNOWN = Depends(only("top_k"))


def predict_router(
    registry: Registry, pipeline: Pipeline, metrics: Instruments, *, max_images: int
) -> APIRouter:
    """Return the routes that predict."""
    router = APIRouter(tags=["predict"])
    for at in addresses(registry):

        @router.post(
            f"{at.prefix}/predict",
            summary="Predict one image",
            description="The image as the form's file `file`, or as the raw body: "
            f"{', '.join(ALL_FORMATS[:-1])} or {ALL_FORMATS[-1]}, as far as the model takes them. "
            "Its content alone decides its format, not its name or Content-Type.",
            operation_id=f"predict{at.suffix}",
            response_model=PredictAnswer,
            responses={200: docs.TIMED, **docs.problems(*docs.IMAGE)},
            openapi_extra=docs.ONE_IMAGE,
            dependencies=[KNOWN],
        )
        async def predict(
            request: Request,
            model: Annotated[LoadedModel, Depends(at.find)],
            top_k: TopK = None,
        ) -> Response:
            with model.lease():
                pipeline.check(model)
                image = await read_image(request)
                answer = await while_connected(request.receive, pipeline.predict(model, image))
            count(request, metrics, model, [answer])
            return respond(request, model, prediction(answer, top_k), [answer])

        @router.post(
            f"{at.prefix}/predict/batch",
            summary="Predict many images",
            description="The form's files `files`, repeated. One entry per image, in order: a "
            "prediction, or the error that this image would have met alone.",
            operation_id=f"predict_batch{at.suffix}",
            response_model=BatchAnswer,
            responses={200: docs.TIMED, **docs.problems(*docs.BODY)},
            openapi_extra=docs.MANY_IMAGES,
            dependencies=[KNOWN],
        )
        async def predict_batch(
            request: Request,
            model: Annotated[LoadedModel, Depends(at.find)],
            top_k: TopK = None,
        ) -> Response:
            with model.lease():
                pipeline.check(model)
                images = await read_images(request, max_images)
                work = pipeline.predict_many(model, [pipeline.decoding(model, i) for i in images])
                answers = await while_connected(request.receive, work)
            count(request, metrics, model, answers)
            results = [
                {"index": index, **entry(answer, top_k, request.state.request_id)}
                for index, answer in enumerate(answers)
            ]
            return respond(request, model, {"results": results}, answers)

    return router


def count(
    request: Request,
    metrics: Instruments,
    model: LoadedModel,
    answers: Sequence[Answer | Exception],
) -> None:
    """Tell the metrics of answers that are about to be sent, and leave them to the envelope."""
    request.state.served = {"model": model.name, "version": model.version}
    request.state.answers = answers
    total_s = time.monotonic() - request.state.started_at
    for answer in answers:
        if isinstance(answer, Answer):
            metrics.answered(answer, total_s)
        else:
            metrics.refused(row_of(answer).code)


def prediction(answer: Answer, top_k: int | None) -> dict[str, object]:
    """Return label, probability, unusual, and predictions of one answer, most probable first."""
    labels = answer.served.labels
    probabilities = answer.probabilities.tolist()
    # Stable, so that equal probabilities keep the labels' order.
    order = np.argsort(-answer.probabilities, kind="stable")[:top_k].tolist()
    ranked = [{"label": labels[i], "probability": probabilities[i]} for i in order]
    return {**ranked[0], "unusual": answer.is_unusual, "predictions": ranked}


def entry(answer: Answer | Exception, top_k: int | None, request_id: str) -> dict[str, object]:
    """Return what one image of a batch became: its prediction, or a problem."""
    if isinstance(answer, Answer):
        return prediction(answer, top_k)
    return {"error": problem(answer, request_id)}


def respond(
    request: Request,
    model: LoadedModel,
    members: dict[str, object],
    answers: Sequence[Answer | Exception],
) -> Response:
    """Return `members` as JSON, with what every answer says of its request, model and time."""
    body = {
        "request_id": request.state.request_id,
        "model": {"name": model.name, "version": model.version},
        **members,
    }
    timings = [answer.timings for answer in answers if isinstance(answer, Answer)]
    headers = {"server-timing": server_timing(timings, request.state.started_at)}
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)


def server_timing(timings: list[Timings], started_at: float) -> str:
    """Return the Server-Timing header: the longest of each stage, and the total, in ms.

    Args:
        timings: one per image that was computed.
        started_at: `time.monotonic()` when the request arrived.
    """
    longest = map(max, zip((0.0, 0.0, 0.0), *[one.stages_s for one in timings], strict=True))
    seconds = (*longest, time.monotonic() - started_at)
    named = zip((*STAGES, "total"), seconds, strict=True)
    return ", ".join([f"{stage};dur={1000 * spent:.3f}" for stage, spent in named])
