"""Query parameters: what a route does not know is refused, not ignored."""

import difflib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request

from app.errors import InvalidParameter


def only(*names: str) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """Return FastAPI's dependency that refuses query parameters with other names.

    It raises InvalidParameter, with the nearest name.
    """

    async def refuse_others(request: Request) -> None:
        for name in request.query_params:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                hint = f" Did you mean {near[0]}?" if near else ""
                expected = f"the query parameter {names[0]!r}" if names else "no query parameters"
                raise InvalidParameter(f"Expected {expected}. Received: {name[:40]!r}.{hint}")

    return refuse_others
