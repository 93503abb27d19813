"""POST /predict and its kin: one image or many, the default model or a named one."""

import time
from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.http import documentation as docs
from app.http.disconnects import while_connected
from app.http.problems import row_of
from app.http.rendering import batch_response, read_top_k, single_response
from app.http.resolving import PREFIXES, PlainRoute, resolve
from app.http.uploads import read_image, read_images
from app.loaded_model import LoadedModel
from app.metrics import Metrics
from app.pipeline import Answer, Pipeline
from app.registry import Registry


def predict_router(
    registry: Registry, pipeline: Pipeline, metrics: Metrics, *, max_images: int
) -> APIRouter:
    """Return the routes that predict."""
    router = APIRouter(tags=["predict"], route_class=PlainRoute)

    async def predict(request: Request) -> Response:
        top_k = read_top_k(request)
        model = await resolve(registry, request.path_params)
        with model.lease():
            pipeline.check(model)
            image = await read_image(request)
            answer = await while_connected(request.receive, pipeline.predict(model, image))
        count(request, metrics, model, [answer])
        return single_response(request, answer, top_k)

    async def predict_batch(request: Request) -> Response:
        top_k = read_top_k(request)
        model = await resolve(registry, request.path_params)
        with model.lease():
            pipeline.check(model)
            images = await read_images(request, max_images)
            work = pipeline.predict_many(model, [pipeline.decoding(model, one) for one in images])
            answers = await while_connected(request.receive, work)
        count(request, metrics, model, answers)
        return batch_response(request, model, answers, top_k)

    for prefix in PREFIXES:
        router.add_api_route(
            f"{prefix}/predict", predict, methods=["POST"], **docs.predict_route(prefix)
        )
        router.add_api_route(
            f"{prefix}/predict/batch", predict_batch, methods=["POST"], **docs.batch_route(prefix)
        )
    return router


def count(
    request: Request, metrics: Metrics, model: LoadedModel, answers: Sequence[Answer | Exception]
) -> None:
    """Tell the metrics of answers that are about to be sent, and leave them to the envelope."""
    request.state.model = model.name
    request.state.answers = answers
    total_s = time.perf_counter() - request.state.started_at
    for answer in answers:
        if isinstance(answer, Answer):
            metrics.answered(answer, total_s)
        else:
            metrics.refused(row_of(answer).code)
