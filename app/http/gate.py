"""Predictions refused while too much is queued, before they cost more than their headers."""

import re
import time
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Scope

from app.access_log import AccessLog
from app.errors import NotReady, Overloaded
from app.http.envelope import SECURITY_HEADERS, request_id_of
from app.http.problems import problem_response, row_of
from app.metrics import Metrics
from app.readiness import Readiness
from app.registry import Registry
from app.served import ServedModel
from app.serving import Serving

_PREDICTION = re.compile(rb"/(?:models/([a-z0-9_-]+)/)?predict(?:/batch)?")

Headers = Sequence[tuple[bytes, bytes]]


class Gate:
    """Does for a request that cannot be served in time what the application would do.

    The application refuses it too, at more than twice the cost: a task, a scope, every layer. Ten
    times as many requests as can be answered would take all the time from those that can.

    Args:
        registry: says which model a path means.
        serving: says whether there is time.
        metrics: told of every refusal.
        readiness: while it drains, nothing is refused here: connections end with their answer.
        access_log: told of every refusal; None: nothing is logged.
    """

    def __init__(
        self,
        registry: Registry,
        serving: Serving,
        metrics: Metrics,
        readiness: Readiness,
        access_log: AccessLog | None,
    ) -> None:
        self._registry = registry
        self._serving = serving
        self._metrics = metrics
        self._readiness = readiness
        self._access_log = access_log

    def refusal(self, url: bytes, headers: Headers) -> Response | None:
        """Return the answer to a POST that is to be refused; None: the application decides."""
        path = url.partition(b"?")[0]
        found = _PREDICTION.fullmatch(path)
        if found is None or self._readiness.draining:
            return None
        try:
            served = self._model(found[1])
            if served is not None:
                self._serving.let_in(served)
        except NotReady:
            return None
        except Overloaded as error:
            return self._refuse(error, found, headers)
        return None

    def _model(self, name: bytes | None) -> ServedModel | None:
        return self._registry.default() if name is None else self._registry.find(name.decode())

    def _refuse(self, error: Overloaded, found: re.Match[bytes], headers: Headers) -> Response:
        started_at = time.perf_counter()
        path = route = found[0].decode("ascii")
        if found[1] is not None:
            route = f"{path[: found.start(1)]}{{name}}{path[found.end(1) :]}"
        request_id = request_id_of(headers)
        scope: Scope = {"type": "http", "path": path, "state": {"request_id": request_id}}
        answer = problem_response(error, scope)
        answer.raw_headers.append((b"x-request-id", request_id.encode()))
        answer.raw_headers.extend(SECURITY_HEADERS)
        seconds = time.perf_counter() - started_at
        self._metrics.request("POST", route, answer.status_code, "", seconds)
        self._metrics.refused(row_of(error).code)
        if self._access_log is not None:
            self._access_log.add("POST", path, answer.status_code, 1000 * seconds, request_id)
        return answer
