"""uvicorn as it is, but for what it lacks: a deadline for headers, and an end to their size."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# More than any client of ours sends; the parser itself would collect without end.
MAX_HEADER_BYTES = 64 * 1024
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, and `header_seconds`; goes to worker processes as it is."""

    def __init__(self, app: str, *, header_seconds: float, **options: Any) -> None:
        super().__init__(app, http=DeadlineProtocol, **options)
        self.header_seconds = header_seconds


class DeadlineProtocol(HttpToolsProtocol):
    """Closes connections whose headers are not complete in time, or endless.

    The clock runs from the connection, or from the first byte after an answer, to the end of the
    headers. It also bounds how long the rest of a body may arrive that was answered half-way.
    """

    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the clock."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Start the clock if nothing is being answered, and count what headers take."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start()
        self._header_bytes += len(data)
        super().data_received(data)
        if self._timer is not None and not self._in_body and self._header_bytes > MAX_HEADER_BYTES:
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Stop the clock; bodies have their own deadline."""
        self._stop()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Begin to count the next request's headers."""
        self._stop()
        self._in_body = False
        self._header_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the clock if the rest of a body is still to come, which nobody waits for."""
        if self._in_body:
            self._start()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        self._stop()
        seconds = getattr(self.config, "header_seconds", 10.0)
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
