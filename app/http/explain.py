"""POST /preview and /explain: what the model saw, and where it looked."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidParameter
from app.http import documentation as docs
from app.http.disconnects import while_connected
from app.http.models import addresses, only
from app.http.uploads import read_image
from app.loaded_model import LoadedModel
from app.occlusion import Explainer
from app.pipeline import Pipeline
from app.registry import Registry
from model_store.pixels.preprocessing import encode_png

PICTURE = {"content": {"image/png": {"schema": docs.BINARY}}, "description": "The picture."}

Label = Annotated[
    str | None, Query(description="The class to explain. Unset: the most probable one.")
]


class Png(Response):
    """A picture."""

    media_type = "image/png"


def explain_router(registry: Registry, pipeline: Pipeline) -> APIRouter:
    """Return the routes that answer with pictures."""
    explainer = Explainer(pipeline)
    router = APIRouter(
        tags=["look"],
        default_response_class=Png,
        responses={200: PICTURE, **docs.problems(*docs.IMAGE)},
    )
    for at in addresses(registry):

        @router.post(
            f"{at.prefix}/preview",
            summary="Show what the model saw",
            description="The preprocessed pixels as a grayscale PNG.",
            operation_id=f"preview{at.suffix}",
            openapi_extra=docs.ONE_IMAGE,
            dependencies=[Depends(only())],
        )
        async def preview(
            request: Request, model: Annotated[LoadedModel, Depends(at.find)]
        ) -> Response:
            with model.lease():
                pipeline.check(model)
                image = await read_image(request)
                work = pipeline.in_thread(lambda: encode_png(pipeline.pixels(model, image)))
                return Png(await while_connected(request.receive, work))

        @router.post(
            f"{at.prefix}/explain",
            summary="Show where the model looked",
            description="A heat map as an RGBA PNG of the preview's size: red speaks for the "
            "class, blue against it, by painting over one patch at a time. It cannot tell what "
            "patches do together, and costs as much as some 200 predictions.",
            operation_id=f"explain{at.suffix}",
            openapi_extra=docs.ONE_IMAGE,
            dependencies=[Depends(only("label"))],
        )
        async def explain(
            request: Request,
            model: Annotated[LoadedModel, Depends(at.find)],
            label: Label = None,
        ) -> Response:
            with model.lease():
                pipeline.check(model)
                index = index_of(label, model)
                work = explainer.explain(model, await read_image(request), index)
                return Png(await while_connected(request.receive, work))

    return router


def index_of(label: str | None, model: LoadedModel) -> int | None:
    """Return the index of a label, or None for the most probable one.

    Raises:
        InvalidParameter: the model has no such label.
    """
    if label is None:
        return None
    if label not in model.labels:
        known = ", ".join(model.labels[:20])
        raise InvalidParameter(f"Expected label to be one of: {known}. Received: {label[:40]!r}")
    return model.labels.index(label)
