"""Whether the service can predict, and if not, why: one answer for health, metrics and protocol."""

from typing import Literal

from pydantic import BaseModel, Field

from app.errors import NotReady
from app.registry import Registry
from app.watchdog import Watchdog


class Status(BaseModel):
    """One word, and a sentence where the word is not good."""

    status: Literal["ok", "ready", "loading", "not ready", "draining", "stuck"]
    reason: str | None = Field(None, description="What is wrong, and a remedy.")

    @property
    def is_good(self) -> bool:
        """Whether the word is one that whoever asks hopes for."""
        return self.status in ("ok", "ready")


class Readiness:
    """Puts together what the parts know. `draining` is set once, when the service stops."""

    def __init__(self, registry: Registry, watchdog: Watchdog) -> None:
        self._registry = registry
        self._watchdog = watchdog
        self.draining = False

    def alive(self) -> Status:
        """Return "ok", or what only a restart can mend."""
        stuck = self._watchdog.why_not_alive()
        return Status(status="stuck" if stuck else "ok", reason=stuck)

    def ready(self) -> Status:
        """Return "ready", or why the service cannot predict."""
        if self.draining:
            return Status(status="draining", reason="The service is stopping.")
        if not (alive := self.alive()).is_good:
            return alive
        if not self._registry.is_complete:
            return Status(status="loading", reason=self._registry.why_not_ready())
        try:
            failed = self._watchdog.why_not_trusted(self._registry.default())
        except NotReady as error:
            failed = str(error)
        return Status(status="not ready" if failed else "ready", reason=failed)
