"""`current.json` of a bucket: of all models, so that one request says whether any changed."""

import json
import random
import time
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from model_store.calling import calling
from model_store.errors import InvalidName, StoreDamaged, StoreUnreachable, StoreUnwritable
from model_store.manifest import check_name
from model_store.store.bucket import Bucket, Found
from model_store.store.cached import BundleCache
from model_store.store.current import CURRENT_FILE, CurrentVersion, Pointers, following

_PATIENCE_SECONDS = 60.0  # for which others may keep changing it before we do


class PointerFile:
    """Reads and replaces it; a copy in the cache stands in for a bucket that is away."""

    def __init__(self, bucket: Bucket, cache: BundleCache) -> None:
        self._bucket = bucket
        self._cache = cache
        self._seen: Found | None = None
        self._known: Pointers | None = None

    def current(self, name: str) -> CurrentVersion | None:
        """Return which version serves, as the bucket says now; None: nothing was ever promoted.

        Raises:
            StoreDamaged: what is said of the model cannot be understood.
            StoreUnreachable: the bucket does not answer.
        """
        found = self._bucket.read(CURRENT_FILE)
        pointers = _understood(_document(found)) if found else Pointers({})
        if name in pointers.damaged:
            raise StoreDamaged(pointers.damaged[name])
        return pointers.current.get(name)

    def look(self) -> Pointers:
        """Return which version of each model serves, by one request.

        What was seen last, by this process or by another one with the same cache, stands in for
        what cannot be read now.

        Raises:
            StoreDamaged: the file cannot be understood.
            StoreUnreachable: the bucket does not answer, and nothing was ever seen.
        """
        try:
            found = self._bucket.read_if_changed(CURRENT_FILE, self._seen)
        except StoreUnreachable as error:
            known = self._known or self._remembered()
            if known is None:
                raise
            self._known = replace(known, stale=str(error))
            return self._known
        if found == "same" and self._known is not None:
            self._known = replace(self._known, stale=None)
        elif isinstance(found, Found):
            self._known = _understood(_document(found))
            self._seen = found
            self._cache.remember(CURRENT_FILE, found.data)
        else:
            self._known, self._seen = Pointers({}), None
        return self._known

    def make_current(self, name: str, number: int) -> CurrentVersion:
        """Let version `number` serve, however many others change the file too.

        Raises:
            StoreUnwritable: the server does not heed conditions, or others never let us.
            StoreUnreachable: the bucket does not answer.
        """
        self._bucket.require_conditions()
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < give_up_at:
            seen = self._bucket.read(CURRENT_FILE)
            document = _document(seen) if seen else {}
            current = following(_understood(document).current.get(name), number)
            document[name] = current.model_dump(mode="json")
            data = json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"
            if self._bucket.replace(CURRENT_FILE, data, seen):
                return current
            time.sleep(random.uniform(0, 0.05))  # noqa: S311  # so that they do not meet again
        raise StoreUnwritable(
            f"Cannot write {CURRENT_FILE} in {self._bucket.url}: others keep changing it"
        )

    def _remembered(self) -> Pointers | None:
        data = self._cache.remembered(CURRENT_FILE)
        try:
            return _understood(json.loads(data)) if data is not None else None
        except ValueError:
            return None


def _document(found: Found) -> dict[str, Any]:
    try:
        document = json.loads(found.data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise StoreDamaged(
            f"{CURRENT_FILE} cannot be understood; remove it, and promote a version of each model"
        )
    return document


def _understood(document: dict[str, Any]) -> Pointers:
    current, damaged = {}, {}
    for name, stated in document.items():
        try:
            current[check_name(name)] = CurrentVersion.model_validate_json(json.dumps(stated))
        except (InvalidName, ValidationError):
            damaged[name] = (
                f"{CURRENT_FILE} says nothing of {name!r} that can be understood; write it again "
                f"with '{calling('model_store')} promote {name} VERSION'"
            )
    return Pointers(current, damaged)
