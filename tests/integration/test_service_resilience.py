"""Restarts, half-open connections and several workers, on real ports with a real bundle."""

import csv
import os
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from commands import ROOT
from patience import PATIENCE_S, until
from service_process import Service, free_port, images, running

from model_store.store.store import ModelStore

RESTARTS = 20


class Traffic:
    """Keep-alive clients that ask without end; whatever is not answered with 200 is lost."""

    def __init__(self, url: str, clients: int, image: bytes | None = None) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._url = url
        self._image = image or images(1)[0]
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

    def wait_for(self, more: int) -> None:
        """Return when `more` requests were answered."""
        before = self.answered
        until(lambda: self.lost or self.answered >= before + more)
        assert self.lost == []

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as client:
            # With pauses, or the load alone would take a small machine's whole time.
            while not self._stop.wait(0.005):
                try:
                    response = client.post("/predict", content=self._image)
                except httpx.TransportError as error:
                    self.lost.append(repr(error))
                else:
                    if response.status_code == 200:
                        self.answered += 1
                    else:
                        self.lost.append(response.text)


class Balancer:
    """HAProxy, with the configuration that docs/operations.md shows."""

    def __init__(self, port: int, copies: list[int], folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._stats_port = free_port()
        page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        shown = page.partition("```haproxy\n")[2].partition("```")[0]
        text = shown.replace("bind :8000", f"bind 127.0.0.1:{port}")
        for number, copy in enumerate(copies, 1):
            text = text.replace(f"copy{number}.example:8000", f"127.0.0.1:{copy}")
        text += f"listen stats\n bind 127.0.0.1:{self._stats_port}\n stats enable\n stats uri /\n"
        self.file = folder / "haproxy.cfg"
        self.file.write_text(text, encoding="utf-8")

    def wait_until_all_are_up(self) -> None:
        # Before a check, all are UP.
        until(lambda: self._states() == [("UP", "L7OK"), ("UP", "L7OK")])

    def _states(self) -> list[tuple[str, str]]:
        try:
            table = httpx.get(f"http://127.0.0.1:{self._stats_port}/;csv", timeout=PATIENCE_S).text
        except httpx.ConnectError:
            return []
        rows = csv.DictReader(table.removeprefix("# ").splitlines())
        copies = [row for row in rows if row["svname"].startswith("copy")]
        return [(row["status"], row["check_status"]) for row in copies]


@contextmanager
def balancing(copies: list[int], folder: Path) -> Iterator[Balancer]:
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if haproxy is None:
        pytest.skip("no haproxy here")
    balancer = Balancer(free_port(), copies, folder)
    process = subprocess.Popen([haproxy, "-db", "-f", str(balancer.file)])
    try:
        yield balancer
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.slow
def test_rolling_restarts_of_two_copies_behind_a_load_balancer_lose_nothing(
    shared_tiny_store, tmp_path
):
    ports = [free_port(), free_port()]

    with ExitStack() as alive:

        def start(port: int) -> Service:
            patient = {"deadline_ms": 60_000, "drain_seconds": 3, "access_log": False}
            return alive.enter_context(running(shared_tiny_store.root, port=port, **patient))

        balancer = alive.enter_context(balancing(ports, tmp_path))
        copies = [start(port) for port in ports]
        balancer.wait_until_all_are_up()
        with Traffic(balancer.url, clients=4) as traffic:
            for number in range(RESTARTS):
                copy = copies[number % 2]
                traffic.wait_for(100)
                copy.process.terminate()
                assert copy.wait_until_ended() == 0
                copies[number % 2] = start(ports[number % 2])
                balancer.wait_until_all_are_up()
            traffic.wait_for(100)

    assert traffic.lost == []
    assert traffic.answered >= 100 * RESTARTS


def test_a_request_that_was_read_is_answered_when_the_service_stops(shared_tiny_store):
    body = images(1)[0]
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        with socket.create_connection(service.address, timeout=PATIENCE_S) as connection:
            connection.sendall(head + body[:10])
            latencies_ms(service, 1)  # answered after those bytes were read
            service.process.send_signal(signal.SIGTERM)
            service.wait_for_log("Waiting for connections to close")
            connection.sendall(body[10:])
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert service.wait_until_ended() == 0

    assert received.startswith(b"HTTP/1.1 200 ")


def latencies_ms(service: Service, requests: int) -> list[float]:
    found = []
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        for _ in range(requests):
            started = time.perf_counter()
            assert client.post("/predict", content=images(1)[0]).status_code == 200
            found.append(1000 * (time.perf_counter() - started))
    return found


@pytest.mark.slow
def test_500_half_open_connections_do_not_slow_a_healthy_client(shared_tiny_store):
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
        afterwards = latencies_ms(service, 200)

    # Medians, because on a shared machine the tail belongs to the neighbours; and from before and
    # after, because they come and go.
    usual = max(map(statistics.median, (alone, afterwards)))
    assert statistics.median(crowded) <= 3 * usual + 20


@pytest.fixture(scope="module")
def workers(shared_tiny_store: ModelStore) -> Iterator[Service]:
    """A service of two, as soon as one of them is ready."""
    with running(shared_tiny_store.root, workers=2) as service:
        service.wait_until_ready()
        yield service


def ask(service: Service, path: str = "/predict") -> int:
    """Return the status of an answer on a connection of its own, so that any worker may take it."""
    url = f"{service.url}{path}"
    return httpx.post(url, content=images(1)[0], timeout=PATIENCE_S).status_code


def test_worker_takes_no_connection_before_it_can_answer(workers):
    def answers_until(started: int) -> set[int]:
        answers = {ask(workers)}
        while sum("Serving" in line for line in workers.lines) < started:
            answers.add(ask(workers))
        return answers

    assert answers_until(2) == {200}
    killed = int(workers.wait_for_log(r"Started server process \[(\d+)\]").group(1))
    os.kill(killed, signal.SIGKILL)
    until(lambda: not Path("/proc", str(killed)).exists())
    assert answers_until(3) == {200}


def test_any_worker_answers_for_the_metrics_of_all(workers):
    def counted() -> list[float]:
        text = httpx.get(f"{workers.url}/metrics", timeout=PATIENCE_S).text
        route = 'route="/models/{name}/predict",status="200"'
        return [float(line.rpartition(" ")[2]) for line in text.splitlines() if route in line]

    assert {ask(workers, "/models/tiny/predict") for _ in range(30)} == {200}
    # Requests are counted when they are over, which is a moment after their answers are here.
    until(lambda: counted() >= [30])
    assert counted() == [30]
