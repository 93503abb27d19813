"""POST /predict and its kin: one image or many, the default model or a named one."""

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.http import documentation as docs
from app.http.addresses import addresses
from app.http.disconnects import while_connected
from app.http.problems import row_of
from app.http.rendering import batch_response, single_response
from app.http.schemas import BatchAnswer, PredictAnswer
from app.http.uploads import read_image, read_images
from app.loaded_model import LoadedModel
from app.observability.metrics import Metrics
from app.pipeline import Answer, Pipeline
from app.registry import Registry

TopK = Annotated[
    int | None,
    Query(ge=1, le=2**31, description="Only the most probable classes. Unset: all."),
]


def predict_router(
    registry: Registry, pipeline: Pipeline, metrics: Metrics, *, max_images: int
) -> APIRouter:
    """Return the routes that predict."""
    router = APIRouter(tags=["predict"])
    for at in addresses(registry):

        @router.post(
            f"{at.prefix}/predict",
            summary="Predict one image",
            description="The image as the form's file `file`, or as the raw body: JPEG, PNG, WebP, "
            "BMP or GIF. Its content alone decides its format, not its name or Content-Type.",
            operation_id=f"predict{at.suffix}",
            response_model=PredictAnswer,
            responses={200: docs.TIMED, **docs.problems(*docs.IMAGE)},
            openapi_extra=docs.one_image(),
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
            return single_response(request, answer, top_k)

        @router.post(
            f"{at.prefix}/predict/batch",
            summary="Predict many images",
            description="The form's files `files`, repeated. One entry per image, in order: a "
            "prediction, or the error that this image would have met alone.",
            operation_id=f"predict_batch{at.suffix}",
            response_model=BatchAnswer,
            responses={200: docs.TIMED, **docs.problems(*docs.BODY)},
            openapi_extra=docs.many_images(),
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
            return batch_response(request, model, answers, top_k)

    return router


def count(
    request: Request, metrics: Metrics, model: LoadedModel, answers: Sequence[Answer | Exception]
) -> None:
    """Tell the metrics of answers that are about to be sent, and leave them to the envelope."""
    request.state.model, request.state.version = model.name, model.version
    request.state.answers = answers
    total_s = time.monotonic() - request.state.started_at
    for answer in answers:
        if isinstance(answer, Answer):
            metrics.answered(answer, total_s)
        else:
            metrics.refused(row_of(answer).code)
