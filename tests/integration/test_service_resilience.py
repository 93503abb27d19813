"""Restarts, half-open connections and several workers, on real ports with a real bundle."""

import signal
import socket
import statistics
import threading
import time

import httpx
import pytest
from test_service import PATIENCE_S, Service, images, running

from model_store.store import ModelStore


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Traffic:
    """Clients that ask without end; what was sent and never answered is lost."""

    def __init__(self, url: str, clients: int) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        image = images(1)[0]
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                try:
                    response = client.post("/predict", content=image)
                except httpx.ConnectError:  # nobody listens between two lives
                    time.sleep(0.02)
                except httpx.TransportError as error:
                    self.lost.append(repr(error))
                else:
                    if response.status_code == 200:
                        self.answered += 1
                    elif response.json()["code"] != "not_ready":
                        self.lost.append(response.text)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "restarts"), [(1, 50), (2, 10)])
def test_no_accepted_request_is_lost_over_restarts(
    shared_tiny_store: ModelStore, workers: int, restarts: int
) -> None:
    port = free_port()
    with Traffic(f"http://127.0.0.1:{port}", clients=4) as traffic:
        for _ in range(restarts):
            before = traffic.answered
            with running(
                shared_tiny_store.root, port=port, drain_seconds=0.5, workers=workers
            ) as service:
                deadline = time.monotonic() + PATIENCE_S
                while traffic.answered < before + 100 and time.monotonic() < deadline:
                    time.sleep(0.01)
                service.process.terminate()
                assert service.process.wait(PATIENCE_S) == 0, "".join(service.lines)

    assert traffic.answered >= 100 * restarts
    assert traffic.lost == []


def test_a_pause_while_stopping_loses_no_request(shared_tiny_store: ModelStore) -> None:
    """As a busy or suspended machine makes it: the time runs out before the request is read."""
    with (
        running(shared_tiny_store.root) as service,
        httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client,
    ):
        service.wait_until_ready()
        assert client.post("/predict", content=images(1)[0]).status_code == 200
        service.process.terminate()
        service.wait_for_log("Shutting down")
        service.process.send_signal(signal.SIGSTOP)
        wake = threading.Timer(1.5, service.process.send_signal, [signal.SIGCONT])
        wake.start()
        assert client.post("/predict", content=images(1)[0]).status_code == 200
        wake.join()


def latencies_ms(service: Service, requests: int) -> list[float]:
    found = []
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        for _ in range(requests):
            started = time.perf_counter()
            assert client.post("/predict", content=images(1)[0]).status_code == 200
            found.append(1000 * (time.perf_counter() - started))
    return found


@pytest.mark.slow
def test_500_half_open_connections_do_not_slow_a_healthy_client(
    shared_tiny_store: ModelStore,
) -> None:
    starts = [b"", b"POST /predict HTTP/1.1\r\nHost: x\r\n", b"\r\n"]
    body = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab"
    with running(shared_tiny_store.root, header_seconds=60, upload_seconds=60) as service:
        service.wait_until_ready()
        latencies_ms(service, 50)
        alone = latencies_ms(service, 200)
        half_open = []
        for number in range(500):
            connection = socket.create_connection(service.address)
            connection.sendall([*starts, body][number % 4])
            half_open.append(connection)
        crowded = latencies_ms(service, 200)
        for connection in half_open:
            connection.close()

    # Medians, because on a shared machine the tail belongs to the neighbours.
    assert statistics.median(crowded) <= 1.5 * statistics.median(alone) + 2


def test_any_worker_answers_for_the_metrics_of_all(shared_tiny_store: ModelStore) -> None:
    with running(shared_tiny_store.root, workers=2) as service:
        service.wait_until_ready()
        answered = 0
        while answered < 30:
            # A new connection each, so that both workers get some.
            answered += (
                httpx.post(f"{service.url}/predict", content=images(1)[0]).status_code == 200
            )
        text = httpx.get(f"{service.url}/metrics").text

    counted = [line for line in text.splitlines() if 'route="/predict",status="200"' in line]
    assert [float(line.rpartition(" ")[2]) for line in counted] == [30]
