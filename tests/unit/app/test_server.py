"""The end of listening, on real sockets."""

import socket
import sys

import pytest

from app.http.server import refuse_new_connections


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a service of Linux")
def test_refusing_new_connections_keeps_those_that_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=5) as early:
            refuse_new_connections(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)

            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"a question")
                assert accepted.recv(100) == b"a question"
                accepted.sendall(b"an answer")
                assert early.recv(100) == b"an answer"
