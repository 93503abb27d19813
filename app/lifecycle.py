"""Starting, noticing new versions, draining: what happens around the requests."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Any

from app.readiness import Readiness
from app.registry import Registry

logger = logging.getLogger("halftone.lifecycle")

Handler = Callable[[int, FrameType | None], object]


class Lifecycle:
    """Runs the registry's refreshes, and turns signals into draining and reloading.

    Args:
        registry: refreshed at start, every `poll_seconds`, and on SIGHUP.
        readiness: told when draining begins.
        background: what else runs for as long as the service does.
        poll_seconds: time between looks at the store.
        drain_seconds: time between SIGTERM and the end of listening.
    """

    def __init__(
        self,
        registry: Registry,
        readiness: Readiness,
        background: Sequence[Callable[[], Coroutine[Any, Any, None]]],
        *,
        poll_seconds: float,
        drain_seconds: float,
    ) -> None:
        self._registry = registry
        self._readiness = readiness
        self._background = background
        self._poll_seconds = poll_seconds
        self._drain_seconds = drain_seconds
        self._look_now = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve within the block: load in the background, and close the models at its end."""
        with self._signals():
            tasks = [asyncio.create_task(run()) for run in (self._poll, *self._background)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._registry.close()

    @property
    def is_draining(self) -> bool:
        """Whether SIGTERM was received."""
        return self._readiness.draining

    def reload(self) -> None:
        """Look at the store at once, and try again what failed."""
        self._look_now.set()

    def drain(self) -> None:
        """Stop being ready, so that load balancers look elsewhere; requests are still answered."""
        if not self._readiness.draining:
            logger.info("Draining for %g s", self._drain_seconds)
        self._readiness.draining = True

    async def _poll(self) -> None:
        retry = False
        while True:
            try:
                await self._registry.refresh(retry=retry)
            except Exception:  # one failed look must not be the last
                logger.exception("Looking for new versions failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._look_now.wait()
            retry = self._look_now.is_set()
            self._look_now.clear()

    def _signals(self) -> "_Signals":
        return _Signals(self, asyncio.get_running_loop(), self._drain_seconds)


class _Signals:
    """SIGTERM drains before the server's own handler stops it; SIGHUP reloads."""

    def __init__(
        self, lifecycle: Lifecycle, loop: asyncio.AbstractEventLoop, drain_seconds: float
    ) -> None:
        self._lifecycle = lifecycle
        self._loop = loop
        self._drain_seconds = drain_seconds
        self._before: dict[int, signal.Handlers | Handler | int | None] = {}

    def __enter__(self) -> None:
        # Tests run applications in other threads, where signals cannot be handled.
        if threading.current_thread() is threading.main_thread():
            self._take(signal.SIGTERM, self._on_term)
            if hasattr(signal, "SIGHUP"):
                self._take(signal.SIGHUP, self._on_hup)

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, handler: Handler) -> None:
        self._before[number] = signal.signal(number, handler)

    def _on_hup(self, _number: int, _frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._lifecycle.reload)

    def _on_term(self, number: int, _frame: FrameType | None) -> None:
        # A second SIGTERM does not wait.
        delay_s = 0.0 if self._lifecycle.is_draining else self._drain_seconds
        self._loop.call_soon_threadsafe(self._lifecycle.drain)
        self._loop.call_soon_threadsafe(self._loop.call_later, delay_s, self._stop, number)

    def _stop(self, number: int) -> None:
        handler = self._before[number]
        if callable(handler):
            handler(number, None)
