"""Publish in a child process that dies, or finds the disk full, at the k-th system call.

Run as a program: `interrupted_publish.py ROOT kill|enospc`. It publishes version 1 undisturbed, and
then version 2 again and again, each time in a fork of its own and disturbed one call later, until
one attempt gets through. After every attempt it prints a line of JSON: what the store shows then,
and what it shows once an undisturbed publish has followed.
"""

import builtins
import errno
import fcntl
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paper_bundles import debris, paper_store, publish

from model_store.bundle import Bundle
from model_store.errors import StoreUnwritable
from model_store.store import store as store_module

# Everything through which the store, pathlib and shutil reach the operating system.
_CALLS = ("open", "close", "write", "fsync", "rename", "replace", "mkdir", "rmdir", "unlink")
_CALLS += ("remove", "lstat", "stat", "scandir", "listdir")
KILLED, REFUSED, FINISHED = 9, 3, 0


class _Disturber:
    """Counts calls, and does `act` at the `at`-th."""

    def __init__(self, at: int, act: Callable[[], None], only_writes: bool) -> None:
        self._at, self._act, self._count = at, act, 0
        self._only_writes = only_writes

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if not (self._only_writes and _reads_only(args)):
                self._count += 1
                if self._count == self._at:
                    self._act()
            return function(*args, **options)

        return call

    def install(self, calls: tuple[str, ...]) -> None:
        for name in calls:
            setattr(os, name, self.wrap(getattr(os, name)))
        builtins.open = self.wrap(builtins.open)  # type: ignore[assignment]
        fcntl.flock = self.wrap(fcntl.flock)


def _reads_only(arguments: tuple[Any, ...]) -> bool:
    """Whether these are the arguments of opening something for reading."""
    if len(arguments) < 2:
        return False
    if isinstance(arguments[1], str):
        return "r" in arguments[1]
    return isinstance(arguments[1], int) and not arguments[1] & (os.O_CREAT | os.O_RDWR)


def _kill() -> None:
    os._exit(KILLED)


def _disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _attempt(root: Path, at: int, mode: str) -> int:
    """Publish version 2 in a fork; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        if mode == "kill":
            _Disturber(at, _kill, only_writes=False).install(_CALLS)
        else:  # only what takes space can run out of it
            calls = ("open", "write", "fsync", "mkdir", "rename", "replace")
            _Disturber(at, _disk_full, only_writes=True).install(calls)
        publish(paper_store(root), weights=b"second")
    except StoreUnwritable:
        os._exit(REFUSED)
    except OSError as error:
        # The files of the draft were written by the maker, not by the store.
        os._exit(REFUSED if error.errno == errno.ENOSPC else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(FINISHED)


def _state(root: Path) -> dict[str, Any]:
    """Return what a reader sees, after verifying every version."""
    store = paper_store(root)
    current = store.current("paper")
    versions = store.versions("paper")
    weights = []
    for version in versions:
        bundle: Bundle = store.bundle("paper", version)
        bundle.verify_files()
        weights.append((bundle.folder / "model.keras").read_text())
    return {
        "versions": versions,
        "weights": weights,
        "current": current.version if current else None,
        "previous": current.previous if current else None,
    }


def main(folder: Path, mode: str) -> None:
    """Try every crash point and report each."""
    os.fsync = lambda _: None  # what was written outlives its writer; a power cut is not tried here
    store_module.library_versions = dict  # which reads files, but none of the store
    publish(paper_store(folder / "pristine"), weights=b"first")
    for at in range(1, 10_000):
        root = folder / str(at)
        shutil.copytree(folder / "pristine", root)
        code = _attempt(root, at, mode)
        after = _state(root)
        publish(paper_store(root), weights=b"third")
        report = {
            "at": at,
            "code": code,
            "after": after,
            "next": _state(root),
            "debris": debris(root),
        }
        print(json.dumps(report), flush=True)  # noqa: T201  # this is the program's output
        shutil.rmtree(root)
        if code == FINISHED:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
