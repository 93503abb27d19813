"""What several tests share: services that are only asked, and servers of object storage."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from commands import ROOT
from object_server import BUCKET, ObjectServer
from seaweed import Seaweed
from service_process import Service, running

from model_store.store.store import ModelStore


@pytest.fixture(scope="session")
def tiny_service(shared_tiny_store: ModelStore) -> Iterator[Service]:
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="session")
def service(tiny_service: Service) -> Service:
    return tiny_service


@pytest.fixture(scope="session")
def digits_service() -> Iterator[Service]:
    """The model that comes with the repository, served."""
    with running(ROOT / "models", model="digits") as service:
        service.wait_until_ready()
        yield service


@pytest.fixture(scope="session")
def start_object_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[type[ObjectServer]], ObjectServer]]:
    """Starts a server of a kind, or returns the one that runs already."""
    started: dict[type[ObjectServer], ObjectServer] = {}
    with ExitStack() as stack:

        def start(kind: type[ObjectServer]) -> ObjectServer:
            if kind not in started:
                server = kind(tmp_path_factory.mktemp(kind.__name__))
                stack.callback(server.kill)
                server.start()
                started[kind] = server
            return started[kind]

        yield start


@pytest.fixture
def server(
    start_object_server: Callable[[type[ObjectServer]], ObjectServer],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> ObjectServer:
    """SeaweedFS, or what a test asks for, with a prefix of its own as HALFTONE_MODELS."""
    server = start_object_server(getattr(request, "param", Seaweed))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    prefix = request.node.name.replace("[", "-").replace("]", "")
    server.url = f"{server.scheme}://{BUCKET}/{prefix}"
    monkeypatch.setenv("HALFTONE_MODELS", server.url)
    return server
