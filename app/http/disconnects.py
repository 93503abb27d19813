"""Noticing that a client went away while its answer is being computed."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

from app.errors import ClientGone

T = TypeVar("T")

# What is answered sooner needs no task that waits for its client to go.
WATCH_AFTER_S = 0.02


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """Await `work`, but cancel it when the client disconnects.

    Args:
        receive: the request's, after its whole body was read.
        work: begins at once, in the caller's task.

    Raises:
        ClientGone: the client disconnected first.
    """
    caller = asyncio.current_task()
    watcher: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if caller is not None:
            caller.cancel()

    def start() -> None:
        nonlocal watcher
        watcher = asyncio.create_task(watch())

    timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, start)
    try:
        return await work
    except asyncio.CancelledError:
        # Somebody else may have cancelled as well, for example a server that shuts down.
        if gone and caller is not None and caller.uncancel() == 0:
            raise ClientGone("The client closed the connection before its answer.") from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
