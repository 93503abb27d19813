"""Processes that publish into one store, to be let go at once, or killed.

As a program: `publishers.py ROOT CACHE WHO TIMES`.
"""

import os
import subprocess
import sys
from pathlib import Path

from commands import ROOT
from paper_bundles import paper_store, publish

from model_store.store.store import ModelStore


def start_publisher(root: Path | str, cache: Path, who: str, times: int) -> subprocess.Popen[str]:
    """Return a process that waits to publish some versions; their weights say whose they are."""
    process = subprocess.Popen(
        [sys.executable, __file__, root, cache / who, who, str(times)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def release(process: subprocess.Popen[str]) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


def weights_of(store: ModelStore) -> list[str]:
    """Return the weights of every version, in order, after verifying all files."""
    found = []
    for version in store.versions("paper"):
        bundle = store.bundle("paper", version)
        bundle.verify_files()
        found.append((bundle.folder / "model.keras").read_text())
    return found


if __name__ == "__main__":
    root, cache, who, times = sys.argv[1:]
    store = paper_store(root, Path(cache))
    store.names()  # so that only publishing is left to do
    print("ready", flush=True)  # noqa: T201  # the test waits for it
    sys.stdin.readline()
    for number in range(int(times)):
        publish(store, weights=f"{who}-{number}".encode())
