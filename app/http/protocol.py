"""uvicorn's HTTP protocol with a deadline for headers, and a gate; uvicorn itself has neither."""

import asyncio
from typing import Any

import uvicorn
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# More than any client of ours sends; the parser itself would collect without end.
MAX_HEADER_BYTES = 64 * 1024
# For a request that is on its way, on an open connection, when the service stops.
LAST_CHANCE_SECONDS = 1.0
LAST_LOOK_SECONDS = 0.1
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
    headers. It also bounds how long the rest of a body may arrive that was refused half-way.
    """

    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_body = False
    _is_refused = False
    _last = False

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
        answer = self._refusal()
        if answer is not None:
            self._is_refused = True
            self.transport.write(self._on_the_wire(answer))
            self._start()
            return
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Drop what nobody will read."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to count the next request's headers."""
        self._stop()
        self._in_body = False
        self._header_bytes = 0
        if not self._is_refused:
            super().on_message_complete()
            return
        self._is_refused = False
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Let an idle client send one last request, which may be on its way; then close."""
        self._last = True
        if self.cycle is None or self.cycle.response_complete:
            self._stop()
            self._timer = self.loop.call_later(LAST_CHANCE_SECONDS, self._last_look)
        else:
            super().shutdown()

    def _refusal(self) -> Response | None:
        """Return the answer to a request that the application need not see."""
        gate = self.app_state.get("gate")
        is_plain = (
            (self.cycle is None or self.cycle.response_complete)
            and not (self._last or self.expect_100_continue)
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
        )
        if gate is None or not is_plain or self.parser.get_method() != b"POST":
            return None
        refusal: Response | None = gate.refusal(self.url, self.headers)
        return refusal

    def _on_the_wire(self, answer: Response) -> bytes:
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        lines = [STATUS_LINE[answer.status_code], *(b"%b: %b\r\n" % header for header in headers)]
        return b"".join([*lines, b"\r\n", answer.body])

    def _last_look(self) -> None:
        # After a pause of the whole process, timers run before what arrived meanwhile is read.
        self._timer = self.loop.call_later(LAST_LOOK_SECONDS, self._too_slow)

    def _start(self) -> None:
        seconds = getattr(self.config, "header_seconds", 10.0)
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self.transport.close()
