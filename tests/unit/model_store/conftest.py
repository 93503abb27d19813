"""Fixtures that more than one module of these tests uses."""

import os
from collections.abc import Iterator

import pytest
from small_bucket import SmallBucket, use

from model_store.store import bucket as requests_module


@pytest.fixture(autouse=True)
def _disks_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power; that it is asked for is another matter."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallBucket]:
    """An empty bucket, whose clients try once."""
    with SmallBucket().running() as running:
        use(running, monkeypatch)
        monkeypatch.setattr(requests_module, "_RETRIES", {"max_retries": 0})
        yield running
