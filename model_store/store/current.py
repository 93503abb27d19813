"""`current.json`: which version of a model serves, and which one did before."""

import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from model_store.calling import calling
from model_store.errors import StoreDamaged
from model_store.store.durable import write_atomically

CURRENT_FILE = "current.json"


class CurrentVersion(BaseModel):
    """What `current.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int = Field(ge=1)
    previous: int | None = Field(ge=1)
    promoted_at: AwareDatetime = Field(strict=False)


@dataclass(frozen=True, slots=True)
class Pointers:
    """Which version of each model serves, as one look at a store found it.

    Attributes:
        current: by name.
        damaged: names whose pointer cannot be understood, and why.
        stale: why this is what was seen before, and not what the store says now.
    """

    current: dict[str, CurrentVersion]
    damaged: dict[str, str] = field(default_factory=dict)
    stale: str | None = None


def read_current(folder: Path) -> CurrentVersion | None:
    """Read a model's `current.json`; None if nothing was ever promoted.

    Raises:
        StoreDamaged: it cannot be understood.
    """
    path = folder / CURRENT_FILE
    try:
        if folder.is_symlink() or not stat.S_ISREG(path.lstat().st_mode):
            raise StoreDamaged(f"{folder.name}/{CURRENT_FILE} is no file; links are not followed")
        return CurrentVersion.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise StoreDamaged(
            f"{folder.name}/{CURRENT_FILE} cannot be understood; write it again with "
            f"'{calling('model_store')} promote {folder.name} VERSION'"
        ) from error


def read_current_if_sound(folder: Path) -> CurrentVersion | None:
    """Read a model's `current.json`; None as well if it cannot be understood."""
    try:
        return read_current(folder)
    except StoreDamaged:
        return None


def make_current(folder: Path, number: int) -> CurrentVersion:
    """Replace `current.json`, durably; the version that served becomes the previous one."""
    current = following(read_current_if_sound(folder), number)
    write_atomically(folder / CURRENT_FILE, current.model_dump_json().encode() + b"\n")
    return current


def following(before: CurrentVersion | None, number: int) -> CurrentVersion:
    """Return what `current.json` says once version `number` is promoted."""
    now = datetime.now(UTC)
    previous = None
    if before is not None:
        previous = before.previous if before.version == number else before.version
        # A clock that was set back must not undo an order.
        now = max(now, before.promoted_at + timedelta(microseconds=1))
    return CurrentVersion(version=number, previous=previous, promoted_at=now)
