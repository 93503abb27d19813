"""Fixtures that more than one module of these tests uses."""

from collections.abc import Iterator

import pytest
from small_bucket import SmallBucket, use

from model_store.store import bucket as requests_module


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallBucket]:
    """An empty bucket, whose clients try once."""
    with SmallBucket().running() as running:
        use(running, monkeypatch)
        monkeypatch.setattr(requests_module, "_RETRIES", {"max_retries": 0})
        yield running
