"""uvicorn's HTTP protocol with a deadline for headers, which uvicorn itself lacks."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, and `header_seconds`; goes to worker processes as it is."""

    def __init__(self, app: str, *, header_seconds: float, **options: Any) -> None:
        super().__init__(app, http=DeadlineProtocol, **options)
        self.header_seconds = header_seconds


class DeadlineProtocol(HttpToolsProtocol):
    """Closes connections that do not deliver complete headers in time.

    The clock runs from the connection, or from the first byte after an answer, to the end of the
    headers. It also bounds how long the rest of a body may arrive that was refused half-way.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the clock."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Start the clock if nothing is being answered."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Stop the clock; bodies have their own deadline."""
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        seconds: float = getattr(self.config, "header_seconds", 10.0)
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self.transport.close()
