"""Asks for an API key on everything but health. Pure ASGI."""

import base64
import binascii

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Unauthorized
from app.keys import KeyFile

OPEN_PATHS = frozenset({"/health", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})


class ApiKeys:
    """Lets requests through that carry a valid key.

    As `Authorization: Bearer KEY`, as `X-API-Key: KEY`, or as the password of Basic
    authentication, which browsers ask for by themselves, so that the page works too.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyFile) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            key = key_of(Headers(scope=scope))
            if key is None or not self._keys.allows(key):
                received = "none" if key is None else "another one"
                raise Unauthorized(
                    "Expected a valid API key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'. "
                    f"Received: {received}"
                )
        await self._app(scope, receive, send)


def key_of(headers: Headers) -> str | None:
    """Return the key that a request carries, if any."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        return _password(value.strip())
    return headers.get("x-api-key")


def _password(credentials: str) -> str | None:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded.partition(":")[2]
