"""What every answer gets: a request id, security headers, a log line; and errors a document."""

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
    """Outermost middleware: what arrives is put into the form that routes know, and told of.

    Args:
        app: everything else.
        metrics: told of every request.
        readiness: while it drains, connections end with their answer.
        tracing: told of every request; None: nothing is traced.
        root_path: prefix that paths may have, because a proxy that serves others too leaves it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Instruments,
        readiness: Readiness,
        tracing: "Spans | None",
        root_path: str,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._readiness = readiness
        self._tracing = tracing
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A copy: the server looks into its own to see whether it was asked for HEAD.
        inner = {**scope, "path": self._route_path(scope["path"])}
        if scope["method"] == "HEAD":
            inner["method"] = "GET"
        exchange = Exchange(inner, send, scope["method"], is_last=self._readiness.draining)
        try:
            await self._app(inner, receive, exchange.send)
        finally:
            exchange.finish(self._metrics, self._tracing)

    def _route_path(self, path: str) -> str:
        """Return a path without the prefix, and without a slash at its end."""
        if path.startswith(f"{self._root_path}/"):
            path = path[len(self._root_path) :]
        return path.rstrip("/") or "/"


class Problems:
    """Answers errors; nothing that happens inside reaches the server as an exception."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        try:
            await self._app(scope, receive, send)
        except (ClientGone, ClientDisconnect):
            return  # nobody is left to answer
        except Exception as error:  # typed or not: its row in the table says what to answer
            if scope["type"] != "http":
                raise
            state, row = scope["state"], row_of(error)
            if row.status == 500:
                logger.exception("Request %s failed", state["request_id"])
            if "status" not in state:
                state["code"] = row.code
                await problem_response(error, scope)(scope, receive, send)


class Exchange:
    """One request and its answer.

    Args:
        scope: of the request, as routes see it.
        send: towards the client.
        method: as the client sent it.
        is_last: whether its connection is to end.
    """

    def __init__(self, scope: Scope, send: Send, method: str, *, is_last: bool) -> None:
        self._scope = scope
        self._send = send
        self._method = method
        self._is_last = is_last
        self._state = scope.setdefault("state", {})
        self._state["request_id"] = request_id_of(scope["headers"])
        self._state["started_at"] = time.monotonic()

    async def send(self, message: Message) -> None:
        """Pass a message on, with our headers on its start."""
        if message["type"] == "http.response.start":
            self._state["status"] = message["status"]
            headers = list(message.get("headers", ()))
            headers.append((b"x-request-id", self._state["request_id"].encode()))
            headers.extend(SECURITY_HEADERS)
            if self._is_last:
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)

    def finish(self, metrics: Instruments, tracing: "Spans | None") -> None:
        """Tell metrics, log and traces; only what the service itself names becomes a label."""
        scope, state = self._scope, self._state
        status = state.get("status", 499)
        method = self._method if self._method in METHODS else "other"
        route: str = getattr(scope.get("route"), "path", "unmatched")
        seconds = time.monotonic() - state["started_at"]
        model = {key: state[key] for key in ("model", "version") if key in state}
        metrics.request(method, route, status, model.get("model", ""), seconds)
        if "code" in state:
            metrics.refused(state["code"])
        if scope["path"] in QUIET_PATHS and status == 200:
            return  # a probe that went well, which nobody wants to read of
        client = scope["client"][0] if scope.get("client") else "-"
        line = (client, self._method, scope["path"], status, 1000 * seconds, state["request_id"])
        log_request(*line, **model)
        if tracing is not None:
            tracing.request(method, route, status, scope)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's X-Request-Id if it is harmless, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return f"{_ID_PREFIX}{next(_id_counter):08x}"
