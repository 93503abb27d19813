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
        method = scope["method"]
        path = scope["path"]
        if path.startswith(f"{self._root_path}/"):
            path = path[len(self._root_path) :]
        inner = {**scope, "path": path.rstrip("/") or "/"}
        inner["method"] = "GET" if method == "HEAD" else method
        state = inner.setdefault("state", {})
        state["request_id"] = request_id_of(scope["headers"])
        state["started_at"] = time.monotonic()
        ours = [(b"x-request-id", state["request_id"].encode()), *SECURITY_HEADERS]
        if self._readiness.draining:
            ours.append((b"connection", b"close"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), *ours]
            await send(message)

        try:
            await self._app(inner, receive, send_with_headers)
        finally:
            self._tell(method, inner)

    def _tell(self, method: str, scope: Scope) -> None:
        """Tell metrics, log and traces; only what the service itself names becomes a label.

        Args:
            method: as the client sent it.
            scope: of a request that is over, as routes saw it.
        """
        state, seconds = scope["state"], time.monotonic() - scope["state"]["started_at"]
        status, served = state.get("status", 499), state.get("served", {})
        kind = method if method in METHODS else "other"
        route: str = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.request(kind, route, status, served.get("model", ""), seconds)
        if "code" in state:
            self._metrics.refused(state["code"])
        if scope["path"] in QUIET_PATHS and status == 200:
            return  # a probe that went well, which nobody wants to read of
        line = {
            "request_id": state["request_id"],
            "client": scope["client"][0] if scope.get("client") else "-",
            "method": method,
            "path": scope["path"],
            "status": status,
            "duration_ms": round(1000 * seconds, 3),
        }
        log_request(line | served)
        if self._tracing is not None:
            self._tracing.request(kind, route, status, scope)


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


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's X-Request-Id if it is harmless, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return f"{_ID_PREFIX}{next(_id_counter):08x}"
