"""Publishes versions into the bucket HALFTONE_MODELS: `bucket_publisher.py CACHE WHO TIMES`."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "model_store"))

from paper_bundles import publish

from model_store.bundle import Bundle
from model_store.store.store import ModelStore

if __name__ == "__main__":
    cache, who, times = sys.argv[1:]
    store = ModelStore(
        os.environ["HALFTONE_MODELS"], verify=Bundle.verify_files, cache=Path(cache) / who
    )
    store.names()  # so that only publishing is left to do
    print("ready", flush=True)  # noqa: T201  # the test waits for it
    sys.stdin.readline()
    for number in range(int(times)):
        publish(store, weights=f"{who}-{number}".encode())
