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

# So long a worker leaves all connections to others. A supervisor that asks whether it lives, and
# restarts what does not answer within a minute, must be answered although the store is away.
FIRST_LOOK_SECONDS = 30.0


@asynccontextmanager
async def running(
    registry: Registry,
    readiness: Readiness,
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    *,
    poll_seconds: float,
    drain_seconds: float,
    looks_first: bool,
) -> AsyncIterator[None]:
    """Serve within the block: load in the background, and close the models at its end.

    Args:
        registry: refreshed at start, every `poll_seconds`, and on SIGHUP.
        readiness: told when draining begins.
        background: what else runs for as long as the service does.
        poll_seconds: time between looks at the store.
        drain_seconds: time between SIGTERM and the end of listening.
        looks_first: whether the block begins after the first look at the store, good or bad, or
            when that takes longer than FIRST_LOOK_SECONDS.
    """
    look_now, looked = asyncio.Event(), asyncio.Event()
    with _signals(readiness, drain_seconds, look_now):
        polling = _poll(registry, look_now, looked, poll_seconds)
        tasks = [asyncio.create_task(work) for work in (polling, *[run() for run in background])]
        try:
            if looks_first:
                with suppress(TimeoutError):
                    await asyncio.wait_for(looked.wait(), FIRST_LOOK_SECONDS)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await registry.close()


async def every(seconds: float, work: Callable[[], None]) -> None:
    """Do short work for ever; what it raises is logged, and does not end it."""
    while True:
        try:
            work()
        except Exception:
            logger.exception("What is done every %g s failed", seconds)
        await asyncio.sleep(seconds)


async def _poll(
    registry: Registry, look_now: asyncio.Event, looked: asyncio.Event, poll_seconds: float
) -> None:
    retry = False
    while True:
        try:
            await registry.refresh(retry=retry)
        except Exception:  # one failed look must not be the last
            logger.exception("Looking for new versions failed")
        looked.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(poll_seconds):
                await look_now.wait()
        retry = look_now.is_set()
        look_now.clear()


@contextmanager
def _signals(readiness: Readiness, drain_seconds: float, look_now: asyncio.Event) -> Iterator[None]:
    """Let SIGTERM drain before the server's own handler stops it, and SIGHUP reload."""
    # Tests run applications in other threads, where signals cannot be handled.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    stop = signal.getsignal(signal.SIGTERM)

    def drain(number: int) -> None:
        """Stop being ready, so that load balancers look elsewhere; requests are still answered."""
        if not readiness.draining:
            logger.info("Draining for %g s", drain_seconds)
        delay_s = 0.0 if readiness.draining else drain_seconds  # a second signal: at once
        readiness.draining = True
        if callable(stop):
            loop.call_later(delay_s, stop, number, None)

    def on_term(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(drain, number)

    def on_hup(_number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(look_now.set)

    hup = signal.signal(signal.SIGHUP, on_hup)
    signal.signal(signal.SIGTERM, on_term)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGHUP, hup)
