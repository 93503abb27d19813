"""Waiting for what a test asserts, on a machine that may be busy with other things."""

import asyncio
import inspect
import time
from collections.abc import Callable

PATIENCE_S = 300.0  # importing alone can take a minute; nothing waits this long


def until(holds: Callable[[], object], why: Callable[[], str] = str, every_s: float = 0.02) -> None:
    """Return once it holds; fail with `why` after a time in which anything would have come."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, why()
        time.sleep(every_s)


async def eventually(find: Callable[[], object]) -> None:
    """Return once something is found, which may have to be awaited; others run meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await found if inspect.isawaitable(found := find()) else found):
            await asyncio.sleep(0.001)
