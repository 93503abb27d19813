"""create_app: the only place where the parts are wired together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import app
from app.feedback import FeedbackFolder
from app.http.api_keys import ApiKeys, KeyFile
from app.http.documentation import TAGS, complete_openapi
from app.http.explain import explain_router
from app.http.feedback import feedback_router
from app.http.health import health_router
from app.http.limits import ByteBudget, UploadLimits
from app.http.middleware import Envelope, Problems
from app.http.models import models_router
from app.http.page import add_page
from app.http.predict import predict_router
from app.http.problems import handle_framework_errors
from app.http.v2.endpoints import v2_router
from app.lifecycle import every, running
from app.loaded_model import LoadedModel
from app.observability.metrics import Instruments
from app.observability.tracing import tracing_from_environment
from app.pipeline import Pipeline
from app.readiness import Readiness
from app.registry import Registry
from app.settings import Settings, load_settings
from app.watchdog import Watchdog
from model_store.bundle import Model, open_model
from model_store.cpu import available_cpus
from model_store.store.store import ModelStore

if TYPE_CHECKING:  # its imports are an extra
    from app.observability.spans import Spans

OpenVersion = Callable[[str, int], Model]

SAMPLE_SECONDS = 1.0


def app_from_environment() -> FastAPI:
    """Return the service as the environment describes it; what each worker process calls."""
    return create_app(load_settings(), tracing=tracing_from_environment())


class Parts:
    """Everything that routes and middleware are made of."""

    def __init__(
        self,
        settings: Settings,
        store: ModelStore,
        open_version: OpenVersion,
        tracing: "Spans | None",
    ) -> None:
        decoders = settings.decode_threads or available_cpus()

        def serve(name: str, version: int) -> LoadedModel:
            return LoadedModel(
                open_version(name, version),
                capacity=settings.max_queue,
                decoders=decoders,
                patience_s=settings.watchdog_seconds,
            )

        self.settings = settings
        self.tracing = tracing
        self.metrics = Instruments()
        self.registry = Registry(
            store,
            serve,
            self.metrics,
            chosen=settings.model,
            pinned_limit=settings.pinned_versions,
        )
        self.pipeline = Pipeline(
            decoders=decoders,
            deadline_s=settings.deadline_ms / 1000,
            max_pixels=settings.max_pixels,
        )
        self.watchdog = Watchdog(self.registry, patience_s=settings.watchdog_seconds)
        self.readiness = Readiness(self.registry, self.watchdog)
        self.budget = ByteBudget(settings.max_bytes_in_flight)
        self.feedback = (
            FeedbackFolder(settings.feedback, settings.feedback_bytes)
            if settings.feedback is not None
            else None
        )

    def sample(self) -> None:
        """Set this process's gauges."""
        self.metrics.sample(
            self.registry.served(),
            bytes_in_flight=self.budget.held,
            is_ready=self.readiness.ready().is_good,
        )

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Run what is not started by a request, and close everything at the end."""
        async with running(
            self.registry,
            self.readiness,
            (
                # Several probes within the time that an engine is given.
                partial(every, self.settings.watchdog_seconds / 3, self.watchdog.send_probes),
                # Gauges of a worker that nobody scrapes are to be fresh too.
                partial(every, SAMPLE_SECONDS, self.sample),
            ),
            poll_seconds=self.settings.poll_seconds,
            drain_seconds=self.settings.drain_seconds,
            # Until a worker can answer, connections go to those that can.
            looks_first=self.settings.workers > 1,
        ):
            yield
        self.pipeline.close()
        if self.tracing is not None:
            self.tracing.close()


def create_app(
    settings: Settings,
    *,
    store: ModelStore | None = None,
    open_version: OpenVersion | None = None,
    tracing: "Spans | None" = None,
) -> FastAPI:
    """Return the service.

    Args:
        settings: what the operator decided.
        store: where names and versions are read; by default the store at `settings.models`.
        open_version: opens one version of a model; by default from that store.
        tracing: told of every request; by default nobody is.
    """
    if store is None:
        store = ModelStore(settings.models, cache=settings.cache, cache_bytes=settings.cache_bytes)
    parts = Parts(settings, store, open_version or partial(_open, store, settings), tracing)
    service = FastAPI(
        title="Halftone",
        version=app.__version__,
        summary="Encoded images in, class probabilities out.",
        openapi_tags=TAGS,
        # Relative to the document itself, where nobody says what path a proxy serves it under.
        servers=[{"url": settings.root_path or "."}],
        lifespan=parts.lifespan,
        redirect_slashes=False,  # the envelope takes both spellings
        docs_url=None,  # its page would ask a content delivery network; add_page has ours
        redoc_url=None,
        # Ours keeps neither the query nor the client's address, as the framework's own would.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    service.state.watchdog = parts.watchdog
    asks_for_keys = settings.api_keys_file is not None
    service.openapi = partial(complete_openapi, service, asks_for_keys=asks_for_keys)  # type: ignore[method-assign]  # FastAPI's documented way
    handle_framework_errors(service)
    _add_middleware(service, parts)
    _add_routes(service, parts)
    return service


def _open(store: ModelStore, settings: Settings, name: str, version: int) -> Model:
    """Open a version from the store, on the engine that the settings ask for."""
    shared = settings.workers > 1
    return open_model(store.bundle(name, version), settings.engine, settings.threads, shared=shared)


def _add_middleware(service: FastAPI, parts: Parts) -> None:
    """Add the layers, innermost first."""
    settings = parts.settings
    service.add_middleware(
        UploadLimits,
        budget=parts.budget,
        max_bytes=settings.max_upload_bytes,
        upload_seconds=settings.upload_seconds,
    )
    if settings.api_keys_file is not None:
        service.add_middleware(ApiKeys, keys=KeyFile(settings.api_keys_file))
    service.add_middleware(Problems)
    if settings.cors_origins:  # around the errors too, or browsers would hide them from pages
        service.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Server-Timing", "Retry-After"],
        )
    service.add_middleware(
        Envelope,
        metrics=parts.metrics,
        readiness=parts.readiness,
        tracing=parts.tracing,
        root_path=settings.root_path or "",
    )


def _add_routes(service: FastAPI, parts: Parts) -> None:
    registry, pipeline, metrics = parts.registry, parts.pipeline, parts.metrics
    readiness, max_images = parts.readiness, parts.settings.max_images
    for router in (
        predict_router(registry, pipeline, metrics, max_images=max_images),
        explain_router(registry, pipeline),
        models_router(
            registry,
            asks_for_keys=parts.settings.api_keys_file is not None,
            keeps_feedback=parts.feedback is not None,
        ),
        feedback_router(registry, pipeline, parts.feedback, parts.settings.cors_origins),
        health_router(registry, readiness, metrics, parts.sample),
        v2_router(registry, pipeline, metrics, readiness, max_images=max_images),
    ):
        # Their routes themselves: an included router would be matched, and its route again.
        service.router.routes.extend(router.routes)
    add_page(service)
