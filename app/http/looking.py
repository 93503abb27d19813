"""POST /preview and /explain: what the model saw, and where it looked."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidParameter
from app.http import documentation as docs
from app.http.disconnects import while_connected
from app.http.resolving import PREFIXES, PlainRoute, resolve
from app.http.uploads import read_image
from app.loaded_model import LoadedModel
from app.occlusion import Explainer
from app.pipeline import Pipeline
from app.registry import Registry
from model_store.preprocessing import encode_png


def looking_router(registry: Registry, pipeline: Pipeline, explainer: Explainer) -> APIRouter:
    """Return the routes that answer with pictures."""
    router = APIRouter(tags=["look"], route_class=PlainRoute)

    async def preview(request: Request) -> Response:
        model = await resolve(registry, request.path_params)
        with model.lease():
            pipeline.check(model)
            image = await read_image(request)
            work = pipeline.in_thread(lambda: encode_png(pipeline.pixels(model, image)))
            picture = await while_connected(request.receive, work)
        return Response(picture, media_type="image/png")

    async def explain(request: Request) -> Response:
        model = await resolve(registry, request.path_params)
        with model.lease():
            pipeline.check(model)
            image = await read_image(request)
            work = explainer.explain(model, image, read_label(request, model))
            picture = await while_connected(request.receive, work)
        return Response(picture, media_type="image/png")

    for prefix in PREFIXES:
        for name, endpoint in (("preview", preview), ("explain", explain)):
            router.add_api_route(
                f"{prefix}/{name}",
                endpoint,
                methods=["POST"],
                response_class=Response,
                **docs.picture_route(name, prefix),
            )
    return router


def read_label(request: Request, served: LoadedModel) -> int | None:
    """Return the index of `?label=`, or None for the most probable one.

    Raises:
        InvalidParameter: the model has no such label.
    """
    label = request.query_params.get("label")
    if label is None:
        return None
    if label not in served.labels:
        known = ", ".join(served.labels[:20])
        raise InvalidParameter(f"Expected label to be one of: {known}. Received: {label[:40]!r}")
    return served.labels.index(label)
