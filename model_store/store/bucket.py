"""The few requests that the store makes of object storage; whatever fails is one sentence.

What the client's errors say is not repeated: some of it holds signed addresses.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import obstore
from obstore import exceptions
from obstore.store import from_url

from model_store.errors import StoreUnreachable, StoreUnwritable

_PROBE_PREFIX = ".probe-"
_CHUNK_BYTES = 4 << 20

# A download may take long, a silence of this length is a failure.
_PATIENT = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"}
_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
# For what is asked every second, or while somebody waits: no second try.
_BRIEF = {"connect_timeout": "2s", "read_timeout": "5s", "timeout": "10s"}
_NO_RETRY = {"max_retries": 0}

_ALLOW_HTTP = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")

_REASONS = (
    (r"NoSuchBucket|ContainerNotFound|bucket does not exist", "there is no such bucket"),
    (
        r"scheme is not allowed|builder error",
        "plain http needs AWS_ALLOW_HTTP=true",
    ),
    (r"status code: 40[13]|Invalid Access Key", "the keys are not valid, or do not allow it"),
    (r"timed? ?out|timeout", "it does not answer in time"),
    (r"error sending request", "nobody answers at its address"),
    (r"must be specified", "AZURE_STORAGE_ACCOUNT_NAME is not set"),
    (r"credential|169\.254|metadata|token", "no keys were found"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """An object with what names this state of it."""

    data: bytes
    tag: dict[str, str]  # e_tag and version, as the client wants them
    modified_at: datetime


class Bucket:
    """One prefix of a bucket. Methods may be called from any thread.

    Every method raises StoreUnreachable when the storage does not answer, or refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._has_conditions = False

    def read(self, key: str, *, patient: bool = True) -> Found | None:
        """Return an object; None: there is none."""
        with self._explained(f"read {key}"):
            return self._read(self._patient if patient else self._brief, key, {})

    def read_if_changed(self, key: str, seen: Found | None) -> Found | None | Literal["same"]:
        """Return an object unless it is as it was `seen`; one request, and no patience."""
        options = {"if_none_match": seen.tag.get("e_tag")} if seen else {}
        with self._explained(f"read {key}"):
            try:
                return self._read(self._brief, key, options)
            except exceptions.NotModifiedError:
                return "same"

    def create(self, key: str, data: bytes) -> bool:
        """Write a new object, of data unlike any other; False: there is one already."""
        return self._write_if(key, data, "create")

    def replace(self, key: str, data: bytes, seen: Found | None) -> bool:
        """Write an object that is as it was `seen`, or not there; False: it is not any more."""
        return self._write_if(key, data, seen.tag if seen else "create")

    def write(self, key: str, data: bytes | Path) -> None:
        """Write an object, whatever was there."""
        with self._explained(f"write {key}"):
            obstore.put(self._patient, key, data, max_concurrency=4)

    def download(self, key: str, file: Path) -> str | None:
        """Write an object's bytes to a new file; return their SHA-256; None: there is no object."""
        digest = hashlib.sha256()
        with file.open("xb") as target, self._explained(f"read {key}"):
            try:
                found = obstore.get(self._patient, key)
            except FileNotFoundError as error:
                self._refuse_missing_bucket(error)
                return None
            for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)
        return digest.hexdigest()

    def keys(self, folder: str = "", *, patient: bool = True) -> Iterator[str]:
        """Yield the key of every object below `folder`."""
        with self._explained("list what is there"):
            for batch in obstore.list(self._patient if patient else self._brief, folder or None):
                yield from (meta["path"] for meta in batch)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are gone already are fine."""
        with self._explained("remove what is not needed"):
            try:
                obstore.delete(self._patient, list(keys))
            except FileNotFoundError:
                return

    def require_conditions(self) -> None:
        """Try, once, whether the server heeds conditions.

        Raises:
            StoreUnwritable: it ignores them, so that publishers would overwrite each other.
        """
        if self._has_conditions:
            return
        key = f"{_PROBE_PREFIX}{secrets.token_hex(8)}"
        try:
            heeds = self.create(key, b"first") and not self.create(key, b"second")
            first = self.read(key)
            heeds = heeds and first is not None and self.replace(key, b"third", first)
            heeds = heeds and first is not None and not self.replace(key, b"fourth", first)
        finally:
            with suppress(StoreUnreachable):
                self.delete([key])
        if not heeds:
            raise StoreUnwritable(
                f"{self.url} ignores the conditions If-None-Match and If-Match, so publishers "
                "would overwrite each other. Use a server that heeds them, or a folder"
            )
        self._has_conditions = True

    @cached_property
    def _patient(self) -> Any:
        return self._client(_PATIENT, _RETRIES)

    @cached_property
    def _brief(self) -> Any:
        return self._client(_BRIEF, _NO_RETRY)

    def _client(self, options: Any, retries: Any) -> Any:
        # Options that are given replace those of the environment.
        plain = any(os.environ.get(name, "").lower() in ("true", "1") for name in _ALLOW_HTTP)
        client_options: Any = {**options, "allow_http": plain}
        with self._explained("reach what is"):
            return from_url(self.url, client_options=client_options, retry_config=retries)

    def _read(self, client: Any, key: str, options: Any) -> Found | None:
        try:
            found = obstore.get(client, key, options=options)
            data = bytes(found.bytes())
        except FileNotFoundError as error:
            self._refuse_missing_bucket(error)
            return None
        stated = {"e_tag": found.meta["e_tag"], "version": found.meta["version"]}
        tag = {kind: value for kind, value in stated.items() if value is not None}
        return Found(data, tag, found.meta["last_modified"])

    def _write_if(self, key: str, data: bytes, mode: Any) -> bool:
        with self._explained(f"write {key}"):
            try:
                obstore.put(self._patient, key, data, mode=mode)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError, FileNotFoundError):
                # A repeated request meets what the first one wrote, whose answer was lost.
                now = self._read(self._patient, key, {})
                return now is not None and now.data == data
        return True

    def _refuse_missing_bucket(self, error: Exception) -> None:
        if re.search(_REASONS[0][0], str(error)):
            raise StoreUnreachable(f"Cannot read {self.url}: {_REASONS[0][1]}") from None

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (exceptions.BaseError, ValueError, FileNotFoundError) as error:
            reason = _reason(str(error))
        else:
            return
        raise StoreUnreachable(f"Cannot {what} in {self.url}: {reason}") from None


def _reason(text: str) -> str:
    text = text.partition("\n\nDebug")[0]  # else it says everything twice
    text = text.partition(" - ")[2] or text  # no address
    for pattern, reason in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return reason
    status = re.search(r"status(?: code)?:? (\d{3})", text)
    return f"it answers with status {status[1]}" if status else "it does not answer as expected"
