"""Folders in which bundles are made: locked while their maker lives, swept when it is dead."""

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from model_store.store.durable import TEMPORARY_PREFIX, exclusive, hold_folder

LOCK_FILE = ".lock"
_DRAFT_PREFIX = ".draft-"


@dataclass(frozen=True, slots=True)
class StagingFolder:
    """A folder that nobody sweeps until it is discarded or its process ends."""

    folder: Path
    _lock: int | None

    def discard(self) -> None:
        """Remove the folder, unless it was renamed, and free its lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def make_staging_folder(model: Path) -> StagingFolder:
    """Create a folder beside a model's versions; sweep those of the dead."""
    with exclusive(model / LOCK_FILE):
        _sweep(model)
        folder = model / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
        folder.mkdir()
        return StagingFolder(folder, hold_folder(folder))


def _sweep(model: Path) -> None:
    """Remove what dead publishers left. The caller holds the lock, so no write is under way."""
    for path in model.iterdir():
        if path.name.startswith(TEMPORARY_PREFIX):
            path.unlink(missing_ok=True)
        elif path.name.startswith(_DRAFT_PREFIX) and not path.is_symlink():
            _remove_if_dead(path)


def _remove_if_dead(draft: Path) -> None:
    try:
        held = hold_folder(draft)
    except OSError:  # its maker has just removed it
        return
    if held is not None:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(held)
