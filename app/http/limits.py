"""Caps on request bodies: bytes each, bytes over all requests, and time. Pure ASGI."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import CompressedUpload, MalformedUpload, UploadsFull, UploadTooLarge, UploadTooSlow


@dataclass(slots=True)
class ByteBudget:
    """Bytes of bodies that one process may hold, and holds, over all its requests."""

    max_bytes: int
    held: int = 0


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
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        budget, received, is_complete, deadline = self._budget, 0, False, None

        async def receive_within_limits() -> Message:
            nonlocal received, is_complete, deadline
            if is_complete:  # what follows is only ever the client's disconnect
                return await receive()
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + self._upload_seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise UploadTooSlow(
                    f"Expected the whole body in time. Received: {received} bytes"
                ) from error
            size = len(message.get("body", b""))
            if received + size > self._max_bytes:
                raise self._too_large(received + size)
            if budget.held + size > budget.max_bytes:
                raise UploadsFull(
                    f"Expected at most {budget.max_bytes} bytes in flight over all requests."
                )
            budget.held += size
            received += size
            is_complete = not message.get("more_body", False)
            return message

        announced = _announced_length(scope["headers"])
        if announced > self._max_bytes:
            raise self._too_large(announced)
        try:
            await self._app(scope, receive_within_limits, send)
        finally:
            budget.held -= received

    def _too_large(self, length: int) -> UploadTooLarge:
        return UploadTooLarge(
            f"Expected at most {self._max_bytes} bytes. Received: {length} or more"
        )


def _announced_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length, 0 without one, and refuse a Content-Encoding."""
    length = 0
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit():
                raise MalformedUpload("Expected a whole number as Content-Length.")
            length = int(value)
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise CompressedUpload(
                "Expected a body without Content-Encoding; images are compressed already. "
                f"Received: Content-Encoding: {value[:40].decode('latin-1')}"
            )
    return length
