"""What uvicorn is taught, on a real port and its own event loop."""

import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from in_thread import serving
from patience import PATIENCE_S

from app.http.server import DeadlineProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


class Answering:
    """Answers once its client is gone, and notes what it met."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.ended = threading.Event()
        self.received: list[str] = []
        self.error: Exception | None = None

    async def __call__(self, _: Any, receive: Any, send: Any) -> None:
        await receive()
        self.has_begun.set()
        self.received.append((await receive())["type"])
        try:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
        except Exception as error:
            self.error = error
        self.ended.set()


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def port(answering: Answering) -> Iterator[int]:
    protocol = partial(DeadlineProtocol, header_seconds=PATIENCE_S)
    with serving(answering, http=protocol, lifespan="off") as port:
        yield port


def test_client_that_sent_ahead_and_went_away_is_noticed(port, answering):
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(REQUEST * 2)
        assert answering.has_begun.wait(PATIENCE_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert answering.ended.wait(PATIENCE_S)
    assert answering.received == ["http.disconnect"]
    assert answering.error is None
