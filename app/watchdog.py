"""Sends blank images through every real queue, so that a stuck engine shows without traffic."""

import asyncio
import logging

import numpy as np

from app.errors import AppError, Unavailable
from app.loaded_model import LoadedModel
from app.registry import Registry

logger = logging.getLogger("halftone.watchdog")


class Watchdog:
    """Tells whether the engines make progress.

    Args:
        registry: whose models are watched.
        patience_s: how long an engine may make no progress while work waits.
    """

    def __init__(self, registry: Registry, *, patience_s: float) -> None:
        self._registry = registry
        self._patience_s = patience_s
        self._failures: dict[LoadedModel, str] = {}
        self._probes: set[asyncio.Task[None]] = set()

    def send_probes(self) -> None:
        """Queue one blank image for every model that has nothing else to do."""
        models = self._models()
        self._failures = {model: self._failures[model] for model in self._failures.keys() & models}
        for model in models:
            if model.queue.stuck_s() == 0:  # else it is busy, which shows as much
                probe = asyncio.create_task(self._probe(model))
                self._probes.add(probe)
                probe.add_done_callback(self._probes.discard)

    def why_not_alive(self) -> str | None:
        """Say what only a restart can mend: an engine that ended, or is stuck while work waits."""
        for model in self._models():
            if ended := model.queue.why_ended():
                return f"The engine of {model.name} has ended: {ended}. Restart the service."
            stuck_s = model.queue.stuck_s()
            if stuck_s > self._patience_s:
                return f"The engine of {model.name} has made no progress for {stuck_s:.0f} s."
        return None

    def why_not_trusted(self, model: LoadedModel) -> str | None:
        """Say how the last probe of a model failed, if it did."""
        return self._failures.get(model)

    def _models(self) -> list[LoadedModel]:
        return [*self._registry.served(), *self._registry.pinned()]

    async def _probe(self, model: LoadedModel) -> None:
        try:
            with model.queue.place(float("inf")) as place:
                await place.compute(model.inputs(np.zeros(model.shape, np.uint8)))
        except Unavailable:
            return
        except AppError as error:
            self._failures[model] = f"The engine of {model.name} failed on a blank image: {error}"
        else:
            self._failures.pop(model, None)
