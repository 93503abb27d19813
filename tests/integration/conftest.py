"""Services for all tests that only ask them something."""

from collections.abc import Iterator

import pytest
from service_process import Service, running

from model_store.store.store import ModelStore


@pytest.fixture(scope="session")
def service(shared_tiny_store: ModelStore) -> Iterator[Service]:
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="session")
def impatient(shared_tiny_store: ModelStore) -> Iterator[Service]:
    """One that waits for neither headers nor bodies for long."""
    with running(shared_tiny_store.root, header_seconds=1, upload_seconds=0.2) as service:
        service.wait_until_ready()
        yield service
