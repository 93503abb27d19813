"""create_app: the only place where the parts are wired together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import app
from app.cpu import available_cpus
from app.decoding import DecodePool
from app.explaining import Explainer
from app.http.access import ApiKeys
from app.http.documentation import complete_openapi
from app.http.envelope import Envelope
from app.http.health import health_router
from app.http.limits import ByteBudget, UploadLimits
from app.http.looking import looking_router
from app.http.models import models_router
from app.http.monitoring import metrics_router
from app.http.page import add_page
from app.http.predict import predict_router
from app.http.problems import handle_framework_errors
from app.http.v2 import OpenInference
from app.keys import KeyFile
from app.lifecycle import Lifecycle
from app.metrics import Metrics
from app.readiness import Readiness, every_second
from app.registry import Registry, Store
from app.served import Model, ServedModel
from app.serving import Serving, deliver
from app.settings import Settings, load_settings
from app.watchdog import Watchdog
from model_store.bundle import open_model
from model_store.store import ModelStore

OpenVersion = Callable[[str, int], Model]


def app_from_environment() -> FastAPI:
    """Return the service as the environment describes it; what each worker process calls."""
    return create_app(load_settings())


def create_app(
    settings: Settings, *, store: Store | None = None, open_version: OpenVersion | None = None
) -> FastAPI:
    """Return the service.

    Args:
        settings: what the operator decided.
        store: where names and versions are read; by default the store at `settings.models`.
        open_version: opens one version of a model; by default from that store.
    """
    opening = open_version or _opening(settings)
    metrics = Metrics()
    registry = Registry(
        store or ModelStore(settings.models),
        lambda name, version: ServedModel(
            opening(name, version), deliver, capacity=settings.max_queue
        ),
        metrics,
        chosen=settings.model,
        pinned_limit=settings.pinned_versions,
    )
    pool = DecodePool(settings.decode_threads or available_cpus())
    serving = Serving(
        pool,
        deadline_s=settings.deadline_ms / 1000,
        stuck_s=settings.watchdog_seconds,
        max_pixels=settings.max_pixels,
    )
    watchdog = Watchdog(registry, patience_s=settings.watchdog_seconds)
    readiness = Readiness(registry, watchdog)
    budget = ByteBudget(settings.max_bytes_in_flight)

    def sample() -> None:
        metrics.sample(
            registry.served(),
            bytes_in_flight=budget.held,
            is_ready=readiness.condition().is_ready,
        )

    lifecycle = Lifecycle(
        registry,
        readiness,
        (watchdog.run, partial(every_second, sample)),
        poll_seconds=settings.poll_seconds,
        drain_seconds=settings.drain_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with pool:
            async with lifecycle.running():
                yield

    service = FastAPI(
        title="Halftone",
        version=app.__version__,
        summary="Encoded images in, class probabilities out.",
        lifespan=lifespan,
        redoc_url=None,
    )
    service.add_middleware(
        UploadLimits,
        budget=budget,
        max_bytes=settings.max_upload_bytes,
        upload_seconds=settings.upload_seconds,
    )
    if settings.api_keys_file is not None:
        service.add_middleware(ApiKeys, keys=KeyFile(settings.api_keys_file))
    service.add_middleware(
        Envelope, access_log=settings.access_log, metrics=metrics, readiness=readiness
    )
    if settings.cors_origins:
        service.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Server-Timing", "Retry-After"],
        )
    handle_framework_errors(service)
    service.include_router(
        predict_router(registry, serving, metrics, max_images=settings.max_images)
    )
    service.include_router(looking_router(registry, serving, Explainer(serving)))
    service.include_router(models_router(registry))
    protocol = OpenInference(
        registry, serving, metrics, readiness, watchdog, max_images=settings.max_images
    )
    service.include_router(protocol.router())
    service.include_router(health_router(registry, readiness, watchdog))
    service.include_router(metrics_router(metrics, sample))
    service.state.watchdog = watchdog
    service.openapi = partial(complete_openapi, service)  # type: ignore[method-assign]  # FastAPI's documented way
    add_page(service)
    return service


def _opening(settings: Settings) -> OpenVersion:
    """Return what opens a version from the store, on the engine that the settings ask for."""
    store = ModelStore(settings.models)
    threads = settings.threads or available_cpus()

    def open_version(name: str, version: int) -> Model:
        return open_model(store.bundle(name, version), settings.engine, threads)

    return open_version
