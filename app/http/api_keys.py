"""API keys: a file of SHA-256 digests, read again whenever it changes, and who asks for them."""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import re
import time
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import InvalidSetting, Unauthorized

logger = logging.getLogger("halftone.keys")

# How often the file's time stamp is looked at.
CHECK_SECONDS = 1.0

OPEN_PATHS = frozenset({"/health", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})

_LINE = re.compile(r"([0-9a-fA-F]{64})(\s+\S.*)?")


class KeyFile:
    """Knows which keys may call.

    One digest per line, as `printf %s "$KEY" | sha256sum` prints it; what follows the digest is a
    note for people. Empty lines and lines that begin with # are skipped.

    Args:
        path: the file.

    Raises:
        InvalidSetting: it cannot be read, or has a line that is not understood.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._digests = read_digests(path)
        self._checked_at = time.monotonic()

    def allows(self, key: str) -> bool:
        """Return whether `key` is one of the file's, in time that does not depend on which."""
        self._follow_changes()
        digest = hashlib.sha256(key.encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)

    def _follow_changes(self) -> None:
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = time.monotonic()
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        try:
            self._digests = read_digests(self._path)
        except InvalidSetting as error:
            # A slip while rotating must neither lock everybody out nor let anybody in.
            logger.error("The keys read before stay valid: %s", error)
            return
        self._stamp = stamp
        logger.info("Read %d API keys", len(self._digests))


def read_digests(path: Path) -> tuple[bytes, ...]:
    """Return the digests in a key file.

    Raises:
        InvalidSetting: it cannot be read, holds no digest, or has a line that is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"HALFTONE_API_KEYS_FILE: cannot read {path}: {error}") from error
    digests = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise InvalidSetting(
                f"HALFTONE_API_KEYS_FILE: line {number}: expected a SHA-256 digest, 64 hex digits."
            )
        digests.append(bytes.fromhex(match[1]))
    if not digests:
        raise InvalidSetting(f"HALFTONE_API_KEYS_FILE: {path} holds no digest.")
    return tuple(digests)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


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
