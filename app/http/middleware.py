"""What every answer gets: a request id, security headers, a problem document, a log line."""

import itertools
import logging
import os
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ClientGone
from app.http.problems import problem_response, row_of
from app.observability.logs import log_request
from app.observability.metrics import Instruments
from app.readiness import Readiness

if TYPE_CHECKING:  # its imports are an extra
    from app.observability.spans import Spans

logger = logging.getLogger("halftone.http")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

# Unique is enough; asking the kernel for randomness per request costs more than decoding a digit.
_ID_PREFIX = os.urandom(4).hex()
_id_counter = itertools.count(1)

# Asked every few seconds by machines.
QUIET_PATHS = frozenset({"/livez", "/readyz", "/health", "/metrics"})

METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


class Envelope:
    """Outermost middleware; nothing that happens inside reaches the server as an exception.

    Args:
        app: everything else.
        metrics: told of every request.
        readiness: while it drains, connections end with their answer.
        tracing: told of every request; None: nothing is traced.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Instruments,
        readiness: Readiness,
        tracing: "Spans | None",
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._readiness = readiness
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, send, is_last=self._readiness.draining)
        try:
            await self._app(scope, receive, exchange.send)
        except (ClientGone, ClientDisconnect):
            exchange.status = 499
        except Exception as error:  # typed or not: its row in the table says what to answer
            if row_of(error).status == 500:
                logger.exception("Request %s failed", exchange.request_id)
            if not exchange.status:
                scope["state"]["code"] = row_of(error).code
                answer = problem_response(error, scope)
                await answer(scope, receive, exchange.send)
        finally:
            exchange.finish(self._metrics, self._tracing)


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, *, is_last: bool) -> None:
        self.request_id = request_id_of(scope["headers"])
        self.started_at = time.monotonic()
        self.status = 0
        self._scope = scope
        self._send = send
        self._is_last = is_last
        state = scope.setdefault("state", {})
        state["request_id"] = self.request_id
        state["started_at"] = self.started_at

    async def send(self, message: Message) -> None:
        """Pass a message on, with our headers on its start."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            headers.append((b"x-request-id", self.request_id.encode()))
            headers.extend(SECURITY_HEADERS)
            if self._is_last:
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)

    def finish(self, metrics: Instruments, tracing: "Spans | None") -> None:
        """Tell metrics, log and traces; only what the service itself names becomes a label."""
        scope, state, status = self._scope, self._scope["state"], self.status
        method = scope["method"] if scope["method"] in METHODS else "other"
        route: str = getattr(scope.get("route"), "path", "unmatched")
        seconds = time.monotonic() - self.started_at
        line = (scope["method"], scope["path"], status, 1000 * seconds, self.request_id)
        model = {key: state[key] for key in ("model", "version") if key in state}
        metrics.request(method, route, status, model.get("model", ""), seconds)
        if "code" in state:
            metrics.refused(state["code"])
        if scope["path"] in QUIET_PATHS and status == 200:
            return  # a probe that went well, which nobody wants to read of
        log_request(*line, **model)
        if tracing is not None:
            tracing.request(method, route, status, scope)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's X-Request-Id if it is harmless, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return f"{_ID_PREFIX}{next(_id_counter):08x}"
