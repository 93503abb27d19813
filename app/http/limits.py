"""Caps on request bodies: bytes each, bytes over all requests, and time. Pure ASGI."""

import asyncio
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import MalformedUpload, UploadsFull, UploadTooLarge, UploadTooSlow


class ByteBudget:
    """Bytes of bodies that one process holds, over all its requests."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held = 0

    def hold(self, size: int) -> None:
        """Count `size` more bytes, or raise UploadsFull."""
        if self.held + size > self._max_bytes:
            raise UploadsFull(
                f"Expected at most {self._max_bytes} bytes in flight over all requests."
            )
        self.held += size

    def release(self, size: int) -> None:
        """Give `size` bytes back."""
        self.held -= size


class UploadLimits:
    """Counts what arrives, and refuses before it is parsed.

    Args:
        app: what reads the bodies.
        budget: shared by all requests.
        max_bytes: longest body.
        upload_seconds: from the headers to the last byte.
    """

    def __init__(
        self, app: ASGIApp, *, budget: ByteBudget, max_bytes: int, upload_seconds: float
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._upload_seconds = upload_seconds
        self.budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = _Upload(self, receive, _content_length(scope["headers"]))
        try:
            upload.check_announced()
            await self._app(scope, upload.receive, send)
        finally:
            self.budget.release(upload.held)

    def check_length(self, length: int) -> None:
        """Raise UploadTooLarge if `length` bytes are too many for one body."""
        if length > self._max_bytes:
            raise UploadTooLarge(
                f"Expected at most {self._max_bytes} bytes. Received: {length} or more"
            )

    def deadline(self) -> float:
        """Return the event loop's time by which a body that begins now must be complete."""
        return asyncio.get_running_loop().time() + self._upload_seconds


class _Upload:
    """One request's body on its way in."""

    def __init__(self, limits: UploadLimits, receive: Receive, announced: int | None) -> None:
        self.held = 0
        self._limits = limits
        self._receive = receive
        self._announced = announced
        self._received = 0
        self._deadline: float | None = None
        self._complete = False

    def check_announced(self) -> None:
        if self._announced is not None:
            self._limits.check_length(self._announced)

    async def receive(self) -> Message:
        if self._complete:  # what follows is only ever the client's disconnect
            return await self._receive()
        message = await self._next()
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._complete = not message.get("more_body", False)
        return message

    async def _next(self) -> Message:
        if self._deadline is None:
            self._deadline = self._limits.deadline()
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError as error:
            raise UploadTooSlow(
                f"Expected the whole body in time. Received: {self._received} bytes"
            ) from error

    def _count(self, size: int) -> None:
        self._received += size
        self._limits.check_length(self._received)
        self._limits.budget.hold(size)
        self.held += size


def _content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit():
                raise MalformedUpload("Expected a whole number as Content-Length.")
            return int(value)
    return None
