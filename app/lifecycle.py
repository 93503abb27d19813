"""Starting, noticing new versions, draining: what happens around the requests."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any

from app.readiness import Readiness
from app.registry import Registry

logger = logging.getLogger("halftone.lifecycle")


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

    def _drain(self) -> None:
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

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM drain before the server's own handler stops it, and SIGHUP reload."""
        # Tests run applications in other threads, where signals cannot be handled.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        stop = signal.getsignal(signal.SIGTERM)

        def on_term(number: int, _: FrameType | None) -> None:
            delay_s = 0.0 if self._readiness.draining else self._drain_seconds  # a second: at once
            loop.call_soon_threadsafe(self._drain)
            if callable(stop):
                loop.call_soon_threadsafe(loop.call_later, delay_s, stop, number, None)

        def on_hup(_number: int, _: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._look_now.set)

        hup = signal.signal(signal.SIGHUP, on_hup)
        signal.signal(signal.SIGTERM, on_term)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGHUP, hup)
