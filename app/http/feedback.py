"""POST /feedback: a picture with its right label, kept for the next training."""

import asyncio
from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from app.errors import FeedbackOff, ForeignOrigin
from app.feedback import FeedbackFolder
from app.http import documentation as docs
from app.http.explain import index_of
from app.http.models import addresses, only
from app.http.schemas import FeedbackAnswer, ModelReference
from app.http.uploads import read_labelled_image
from app.loaded_model import LoadedModel
from app.pipeline import Pipeline
from app.registry import Registry


def feedback_router(
    registry: Registry, pipeline: Pipeline, folder: FeedbackFolder | None, origins: Collection[str]
) -> APIRouter:
    """Return the routes that keep corrected pictures.

    Args:
        registry: of the models.
        pipeline: decodes a picture before it is kept.
        folder: where to; None: nothing is kept, and said so.
        origins: that may ask from a browser, beside the service's own.
    """
    router = APIRouter(tags=["feedback"], responses=docs.problems(*docs.FEEDBACK))
    for at in addresses(registry):

        @router.post(
            f"{at.prefix}/feedback",
            summary="Say what an image really shows",
            description="The image as the form's file `file`, its right label as the field "
            "`label`: one of the model's. It is kept below HALFTONE_FEEDBACK, as a file that "
            "`training fit --also` reads; under a label that was said before, it is removed.",
            operation_id=f"feedback{at.suffix}",
            status_code=201,
            openapi_extra=docs.LABELLED_IMAGE,
            dependencies=[Depends(only())],
        )
        async def feedback(
            request: Request, model: Annotated[LoadedModel, Depends(at.find)]
        ) -> FeedbackAnswer:
            if folder is None:
                raise FeedbackOff("This service keeps no pictures.")
            _check_origin(request, origins)
            image, label = await read_labelled_image(request)
            index_of(label, model)
            await pipeline.in_thread(lambda: pipeline.pixels(model, image))
            file = await asyncio.to_thread(folder.keep, model.name, label, image)
            return FeedbackAnswer(
                request_id=request.state.request_id,
                model=ModelReference(name=model.name, version=model.version),
                label=label,
                file=file,
            )

    return router


def _check_origin(request: Request, origins: Collection[str]) -> None:
    """Refuse what another site's page sends, for a browser sends a reader's password along.

    Raises:
        ForeignOrigin: it does.
    """
    origin = request.headers.get("origin")
    if origin is None or request.headers.get("sec-fetch-site") == "same-origin":
        return
    own = origin.partition("://")[2] == request.headers.get("host")
    if not own and origin not in origins and "*" not in origins:
        raise ForeignOrigin(f"Expected this service's own page. Received: {origin[:100]}")
