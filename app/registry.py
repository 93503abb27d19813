"""Which models are served: opened from the store, replaced when the store moves on."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from app.errors import NotReady
from app.loaded_model import LoadedModel
from app.observability.metrics import Instruments
from model_store.calling import calling
from model_store.errors import (
    ModelNotFound,
    ModelStoreError,
    StoreUnreachable,
    VersionNotFound,
)
from model_store.store.current import CurrentVersion
from model_store.store.store import ModelStore

logger = logging.getLogger("halftone.registry")

# A version that failed is tried again after this long, in case the cause was the host's.
RETRY_SECONDS = 30.0
# A request for a version that does not serve yet waits for its opening so long.
HOLD_SECONDS = 10.0
_MOST_OPENING = 16  # versions, of which one is opened and the others wait

Open = Callable[[str, int], LoadedModel]


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that should serve and cannot."""

    version: int
    reason: str
    failed_at: float  # time.monotonic()


@dataclass(frozen=True, slots=True)
class _Current:
    served: LoadedModel
    promoted_at: datetime


class Registry:
    """Holds the served models. All methods run on the event loop's thread.

    Attributes:
        is_complete: whether the first look at the store is over.
        stale: why the store cannot be read now, if so.

    Args:
        store: where current versions are read.
        open_version: opens and warms one version; slow, called in a thread.
        metrics: told of versions that were loaded, or failed to.
        chosen: the model that /predict means, or None for the rule.
        pinned_limit: how many versions other than the current ones stay open.
    """

    def __init__(
        self,
        store: ModelStore,
        open_version: Open,
        metrics: Instruments,
        *,
        chosen: str | None,
        pinned_limit: int,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._open_version = open_version
        self._chosen = chosen
        self._pinned_limit = pinned_limit
        self._current: dict[str, _Current] = {}
        self._pinned: OrderedDict[tuple[str, int], LoadedModel] = OrderedDict()
        self._pinning = asyncio.Lock()
        self._opening: dict[tuple[str, int], asyncio.Task[LoadedModel]] = {}
        self._refreshing = asyncio.Lock()
        self._failures: dict[str, Failure] = {}
        self._default_name: str | None = None
        self._logged_problem: str | None = None
        self.is_complete = False
        self.stale: str | None = None
        self._problem: str | None = "The models are being loaded."

    def served(self) -> list[LoadedModel]:
        """Return the current models, by name."""
        return [self._current[name].served for name in sorted(self._current)]

    def pinned(self) -> list[LoadedModel]:
        """Return the versions that are open beside the current ones."""
        return list(self._pinned.values())

    def find(self, name: str) -> LoadedModel | None:
        """Return the current version of `name`, if it serves."""
        current = self._current.get(name)
        return current.served if current else None

    def failure(self, name: str) -> Failure | None:
        """Return why the store's current version of `name` is not the one that serves."""
        return self._failures.get(name)

    def names(self) -> list[str]:
        """Return every name that serves or failed to."""
        return sorted({*self._current, *self._failures})

    def default(self) -> LoadedModel:
        """Return the model that /predict means: the chosen, the only, or the last promoted one.

        Raises:
            NotReady: it is not loaded.
        """
        if self._chosen is not None and self._chosen in self._current:
            return self._current[self._chosen].served
        # Before the first look at the store is complete, the last promoted may still be missing.
        if self._chosen is not None or not self._current or not self.is_complete:
            raise NotReady(self.why_not_ready())
        return max(self._current.values(), key=attrgetter("promoted_at")).served

    def by_name(self, name: str) -> LoadedModel:
        """Return the current version of `name`.

        Raises:
            ModelNotFound: the store has no such model.
            NotReady: it has, and it could not be loaded.
        """
        if name in self._current:
            return self._current[name].served
        if name in self._failures:
            raise NotReady("This model could not be loaded. GET /models/{name} says why.")
        raise ModelNotFound(f"Expected one of: {', '.join(self._current) or 'no models'}.")

    def why_not_ready(self) -> str:
        """Say what keeps the service from predicting, and what to do about it."""
        if self._problem is not None:
            return self._problem
        if self._chosen is not None and self._chosen not in self._failures:
            return f"The store has no model named {self._chosen!r}, which HALFTONE_MODEL asks for."
        if self._failures:
            return "No model could be loaded. /models says why."
        return (
            "The store has no models. Publish one with "
            f"`{calling('training')} fit DIR --name NAME` or "
            f"`{calling('model_store')} import FILE`; it is noticed within seconds."
        )

    async def refresh(self, *, retry: bool = False) -> None:
        """Bring what is served in line with the store.

        Args:
            retry: also try versions again that failed a moment ago.
        """
        async with self._refreshing:
            try:
                pointers = await asyncio.to_thread(self._store.pointers)
            except (OSError, ModelStoreError) as error:
                self._note_stale(_reason(error))
                self._problem = f"The store cannot be read. {self.stale}"
                return
            self._note_stale(pointers.stale)
            for name, reason in pointers.damaged.items():
                logger.error("%s cannot be read: %s", name, reason)
            for name, current in pointers.current.items():
                if self._should_load(name, current, retry=retry):
                    await self._load(name, current)
            self._problem = None
            self.is_complete = True
            self._log_default()

    async def version(self, name: str, version: int) -> LoadedModel:
        """Return one version of `name`, opening it if need be.

        Raises:
            ModelNotFound, VersionNotFound: the store has no such model or version.
            BundleError, EngineUnavailable: it cannot serve.
            StoreUnreachable: it is not open, and the store is away.
            NotReady: opening it takes longer than a request may; it goes on.
        """
        current = self._current.get(name)
        if current is not None and current.served.version == version:
            return current.served
        key = (name, version)
        if key in self._pinned:
            self._pinned.move_to_end(key)
            return self._pinned[key]
        if self.stale is not None:  # else it would be waited for
            raise StoreUnreachable(self.stale)
        if key not in self._opening:
            if len(self._opening) >= _MOST_OPENING:
                raise NotReady("Too many versions are being opened. Ask again.")
            self._opening[key] = asyncio.create_task(self._pin(name, version))
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                return await asyncio.shield(self._opening[key])
        except TimeoutError as error:
            raise NotReady("This version is being opened. Ask again.") from error

    async def versions(self, name: str) -> list[int]:
        """Return every version of `name` in the store; those that are open, while it is away."""
        if self.stale is None:  # else it would be waited for
            with suppress(StoreUnreachable):
                return await asyncio.to_thread(self._store.versions, name)
        opened = [*self.served(), *self.pinned()]
        return sorted({one.version for one in opened if one.name == name})

    async def close(self) -> None:
        """Close every model, after what is queued was computed."""
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        async with self._refreshing:
            everything = [*self.served(), *self._pinned.values()]
            self._current.clear()
            self._pinned.clear()
            await asyncio.gather(*(asyncio.to_thread(served.close) for served in everything))

    def _log_default(self) -> None:
        try:
            name, problem = self.default().name, None
        except NotReady as error:
            name, problem = None, str(error)
        if problem is not None and problem != self._logged_problem:
            logger.warning("Not ready: %s", problem)
        if None not in (name, self._default_name) and name != self._default_name:
            logger.warning(
                "/predict now means %s, promoted last, no more %s. HALFTONE_MODEL decides it",
                name,
                self._default_name,
            )
        self._default_name = name or self._default_name
        self._logged_problem = problem

    def _note_stale(self, reason: str | None) -> None:
        if reason is not None and self.stale is None:
            logger.error("The store cannot be read, what serves goes on: %s", reason)
        if reason is None and self.stale is not None:
            logger.info("The store can be read again")
        self.stale = reason

    def _should_load(self, name: str, current: CurrentVersion, *, retry: bool) -> bool:
        serving = self._current.get(name)
        if serving is not None and serving.served.version == current.version:
            self._failures.pop(name, None)
            self._current[name] = _Current(serving.served, current.promoted_at)
            return False
        failure = self._failures.get(name)
        if failure is None or failure.version != current.version or retry:
            return True
        return time.monotonic() - failure.failed_at > RETRY_SECONDS

    async def _load(self, name: str, current: CurrentVersion) -> None:
        logger.info("Loading %s version %d", name, current.version)
        try:
            served = await asyncio.to_thread(self._open_version, name, current.version)
        except Exception as error:  # whatever is wrong with it, what serves goes on serving
            self._failures[name] = Failure(current.version, _reason(error), time.monotonic())
            self._metrics.failed_to_load(name)
            logger.error("%s version %d cannot serve: %s", name, current.version, error)
            return
        previous = self._current.get(name)
        self._current[name] = _Current(served, current.promoted_at)
        self._failures.pop(name, None)
        logger.info("Serving %s version %d on %s", name, served.version, served.engine_name)
        for warning in served.warnings:
            logger.warning("%s version %d: %s", name, served.version, warning)
        self._metrics.loaded(served, previous.served if previous else None)
        if previous is not None:
            previous.served.retire()

    async def _pin(self, name: str, version: int) -> LoadedModel:
        try:
            async with self._pinning:  # one at a time: requests need the processor too
                known = await asyncio.to_thread(self._store.versions, name)
                if not known:
                    names = ", ".join(self._current) or "no models"
                    raise ModelNotFound(f"Expected one of: {names}.")
                if version not in known:
                    raise VersionNotFound(f"Expected one of the versions {known}.")
                served = await asyncio.to_thread(self._open_version, name, version)
        finally:
            del self._opening[name, version]
        self._pinned[name, version] = served
        while len(self._pinned) > self._pinned_limit:
            self._pinned.popitem(last=False)[1].retire()
        return served


def _reason(error: Exception) -> str:
    # Our own errors are written to be read; anything else could hold paths.
    return str(error) if isinstance(error, ModelStoreError) else "An unexpected error; see the log."
