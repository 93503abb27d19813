"""One service for all tests that only ask it something."""

from collections.abc import Iterator

import pytest
from service_process import Service, running

from model_store.store.store import ModelStore


@pytest.fixture(scope="session")
def service(shared_tiny_store: ModelStore) -> Iterator[Service]:
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        yield service
