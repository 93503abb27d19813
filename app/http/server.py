"""uvicorn as it is, but for what it lacks.

A deadline for headers and an end to their size; bodies of requests that offer an upgrade; and
connections that close without losing the answer.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# More than any client of ours sends; the parser itself would collect without end.
MAX_HEADER_BYTES = 64 * 1024
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class UpgradeIgnoringParser(httptools.HttpRequestParser):
    """Reads the body of a request that offers an upgrade by its framing (RFC 9110, 7.8).

    The parser that it extends ends such a request with its headers, and takes the body for the
    next one. Here another one reads the headers once more, without the offer.
    """

    def __init__(self, protocol: "DeadlineProtocol") -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # uvicorn feeds bytes
        """Parse what arrived.

        Raises:
            httptools.HttpParserError: it is no HTTP.
        """
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self.get_method() == b"CONNECT":
                raise
            self._protocol.read_again(data[offer.args[0] :])


class LingeringTransport:
    """A transport that closes only when the client has had time to read its answer.

    Where bytes of a request were never read, closing a socket resets the connection, and takes the
    answer along that is still on its way. So the sending side ends first, and what still arrives
    is thrown away until the client closes, for at most `header_seconds`.
    """

    def __init__(self, transport: asyncio.Transport, protocol: "DeadlineProtocol") -> None:
        self._transport = transport
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """End the answer; close at once where nothing is left to read."""
        if self._protocol.expects_more() and self._transport.can_write_eof():
            self._protocol.linger()
            self._transport.write_eof()
        else:
            self._transport.close()


class DeadlineProtocol(HttpToolsProtocol):
    """Closes connections whose headers are not complete in time, or endless.

    The clock runs from the connection, or from the first byte after an answer, to the end of the
    headers. It also bounds how long the rest of a body may arrive that was answered half-way.

    Args:
        args: uvicorn's.
        header_seconds: how long the clock runs.
        options: uvicorn's.
    """

    _timer: asyncio.TimerHandle | None = None
    _request_bytes = 0  # of a request that is not complete
    _in_body = False
    _is_over = False  # what still arrives is thrown away
    _answered: RequestResponseCycle | None = None  # others may wait behind it

    def __init__(self, *args: Any, header_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._header_seconds = header_seconds
        self._new_parser()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the clock."""
        super().connection_made(LingeringTransport(transport, self))  # type: ignore[arg-type]  # one in all but name
        self._start()

    def data_received(self, data: bytes) -> None:
        """Start the clock if nothing is being answered, and count what headers take."""
        if self._is_over:
            return
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start()
        self._request_bytes += len(data)
        super().data_received(data)
        if self._timer is not None and not self._in_body and self._request_bytes > MAX_HEADER_BYTES:
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Stop the clock; bodies have their own deadline."""
        if self._will_be_read_again():
            return
        self._stop()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Begin to count the next request's headers."""
        if self._will_be_read_again():
            return
        self._stop()
        self._in_body = False
        self._request_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the clock if the rest of a body is still to come, which nobody waits for."""
        if self._in_body:
            self._start()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and tell the request that is being answered; uvicorn tells the newest."""
        self._stop()
        if self._answered is not None:
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Close at once where nothing is being answered."""
        self._is_over = self.cycle is None or self.cycle.response_complete
        super().shutdown()

    def read_again(self, rest: bytes) -> None:
        """Read the request line and headers that came last without their offer, and then `rest`."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.lower().split(b",")]
                value = b", ".join(token for token in tokens if token != b"upgrade")
            if name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        self._new_parser()
        self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def expects_more(self) -> bool:
        """Return whether a part of a request may still arrive."""
        return self._request_bytes > 0 and not self._is_over

    def linger(self) -> None:
        """Throw away what still arrives, until the client closes or the clock says so."""
        self._is_over = True
        self._start()

    def _new_parser(self) -> None:
        self.parser = UpgradeIgnoringParser(self)
        # As uvicorn does: a client may send on after it said that it closes.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _will_be_read_again(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _start(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(self._header_seconds, self._expire)

    def _expire(self) -> None:
        self._is_over = True
        self.transport.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
