"""Sends blank images through every real queue, so that a stuck engine shows without traffic."""

import asyncio
import logging

import numpy as np

from app.batching import Ticket
from app.errors import Unavailable
from app.registry import Registry
from app.served import ServedModel

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
        self._probes: dict[tuple[str, int], Ticket] = {}

    async def run(self) -> None:
        """Send probes for ever, several within the time that an engine is given."""
        while True:
            self.send_probes()
            await asyncio.sleep(self._patience_s / 3)

    def send_probes(self) -> None:
        """Queue one blank image for every model that has nothing else to do."""
        open_models = self._models()
        keys = {(served.name, served.version) for served in open_models}
        self._probes = {key: ticket for key, ticket in self._probes.items() if key in keys}
        for served in open_models:
            self._send_probe(served)

    def why_not_alive(self) -> str | None:
        """Say what only a restart can mend: an engine that is stuck while work waits."""
        for served in self._models():
            stuck_s = served.queue.stuck_s()
            if stuck_s > self._patience_s:
                return f"The engine of {served.name} has made no progress for {stuck_s:.0f} s."
        return None

    def why_not_trusted(self, served: ServedModel) -> str | None:
        """Say how the last probe of a model failed, if it did."""
        ticket = self._probes.get((served.name, served.version))
        if ticket is None or ticket.error is None:
            return None
        return f"The engine of {served.name} failed on a blank image: {ticket.error}"

    def _models(self) -> list[ServedModel]:
        return [*self._registry.served(), *self._registry.pinned()]

    def _send_probe(self, served: ServedModel) -> None:
        if served.queue.stuck_s() > 0:  # it is busy with real work, which shows as much
            return
        ticket = Ticket()
        try:
            served.queue.submit(np.zeros(served.shape, np.uint8), ticket)
        except Unavailable:
            return
        self._probes[served.name, served.version] = ticket
