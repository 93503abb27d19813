"""Folders in which bundles are made: locked while their maker lives, swept when it is dead."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.store.durable import (
    TEMPORARY_PREFIX,
    exclusive,
    explaining_errors,
    explaining_lack_of_space,
    hold_folder,
    make_folder,
)

LOCK_FILE = ".lock"
_DRAFT_PREFIX = ".draft-"


@contextmanager
def staging(model: Path) -> Iterator[Path]:
    """Give a folder to make a bundle in, beside a model's versions; sweep those of the dead.

    Nobody sweeps it until the block or the process ends; what was not renamed then goes.

    Raises:
        StoreUnwritable: there is no room for it, or no right to write.
    """
    with explaining_errors(f"write to {model}"):
        make_folder(model)
        with exclusive(model / LOCK_FILE):
            _sweep(model)
            folder = model / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
            folder.mkdir()
            lock = hold_folder(folder)
    try:
        with explaining_lack_of_space(f"write to {model}"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


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
