"""Whether the service can predict, and if not, why: one answer for health, metrics and protocol."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.errors import NotReady
from app.registry import Registry
from app.watchdog import Watchdog

SAMPLE_SECONDS = 1.0

Word = Literal["ready", "loading", "not ready", "draining", "stuck"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One word, and a sentence where the word is not "ready"."""

    word: Word
    reason: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether requests are welcome."""
        return self.word == "ready"


class Readiness:
    """Puts together what the parts know. `draining` is set once, when the service stops."""

    def __init__(self, registry: Registry, watchdog: Watchdog) -> None:
        self._registry = registry
        self._watchdog = watchdog
        self.draining = False

    def condition(self) -> Condition:
        """Return whether the service can predict, and if not, why."""
        if self.draining:
            return Condition("draining", "The service is stopping.")
        if stuck := self._watchdog.why_not_alive():
            return Condition("stuck", stuck)
        if not self._registry.is_complete:
            return Condition("loading", self._registry.why_not_ready())
        try:
            failed = self._watchdog.why_not_trusted(self._registry.default())
        except NotReady as error:
            return Condition("not ready", str(error))
        return Condition("not ready", failed) if failed else Condition("ready")


async def every_second(sample: Callable[[], None]) -> None:
    """Call `sample` for ever, so that gauges of a worker that nobody scrapes are fresh too."""
    while True:
        sample()
        await asyncio.sleep(SAMPLE_SECONDS)
