"""Publishers in processes of their own: `publishers.py STORE CACHE WHO TIMES`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from commands import ROOT
from paper_bundles import publish

from model_store.bundle import Bundle
from model_store.store.store import ModelStore


def start(store: object, cache: Path, who: str, times: int) -> subprocess.Popen[str]:
    """Start one that will publish "WHO-0", "WHO-1", … once it is released."""
    return subprocess.Popen(
        [sys.executable, __file__, str(store), str(cache / who), who, str(times)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start_many(store: object, cache: Path, who: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """Yield `count` of them that publish without end; the next ones start meanwhile."""
    ahead = [start(store, cache, f"{who}{number}", 1000) for number in range(min(3, count))]
    for number in range(count):
        if number + len(ahead) < count:
            ahead.append(start(store, cache, f"{who}{number + len(ahead)}", 1000))
        yield ahead.pop(0)


def release(*publishers: subprocess.Popen[str]) -> None:
    """Let them begin, when all of them can."""
    for process in publishers:
        assert process.stdout.readline() == "ready\n"
    for process in publishers:
        process.stdin.write("go\n")
        process.stdin.flush()


if __name__ == "__main__":
    root, cache, who, times = sys.argv[1:]
    store = ModelStore(root, verify=Bundle.verify_files, cache=Path(cache))
    store.names()  # so that only publishing is left to do
    print("ready", flush=True)  # noqa: T201  # the test waits for it
    if not sys.stdin.readline():
        sys.exit()  # whoever started it has gone
    for number in range(int(times)):
        publish(store, weights=f"{who}-{number}".encode())
