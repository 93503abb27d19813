"""python -m app as a process on a real port, with a real bundle and a real client."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_store.bundle import open_model
from model_store.pixels.preprocessing import encode_png, preprocess
from model_store.store.store import ModelStore

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0  # on a busy machine, importing alone can take a minute


class Service:
    """A running `python -m app`, and its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        return self.wait_for_log(r"running on (http://\S+)").group(1)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self._reader.join(PATIENCE_S)
            assert self.process.stderr is not None
            self.process.stderr.close()

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        def find() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

        with self._changed:
            self._changed.wait_for(lambda: find() or not self._reader.is_alive(), PATIENCE_S)
            found = find()
        assert found is not None, "".join(self.lines)
        return found

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self._is_ready():
            failed = [line for line in self.lines if "cannot serve" in line]
            assert not failed
            assert time.monotonic() < deadline, "".join(self.lines[-20:])
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=PATIENCE_S).status_code == 200
        except httpx.ConnectError:  # worker processes have not begun to listen
            return False

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        return url.host, url.port or 80


@contextmanager
def running(models: Path, **settings: object) -> Iterator[Service]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HALFTONE_")}
    environment |= {"HALFTONE_PORT": "0", "HALFTONE_MODELS": str(models)}
    environment |= {"HALFTONE_DRAIN_SECONDS": "0"}
    environment |= {f"HALFTONE_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    service = Service(process)
    try:
        yield service
    finally:
        service.close()


def images(count: int) -> list[bytes]:
    generator = np.random.default_rng(5)
    return [encode_png(generator.integers(0, 256, (12, 10), np.uint8)) for _ in range(count)]


@pytest.fixture(scope="module")
def service(shared_tiny_store: ModelStore) -> Iterator[Service]:
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        yield service


def test_answers_are_those_of_the_bundle(service: Service, shared_tiny_store: ModelStore) -> None:
    model = open_model(shared_tiny_store.bundle("tiny"))
    pixels = np.stack([preprocess(image, model.spec) for image in images(8)])
    expected = model.predict(pixels)
    model.close()
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        for image, row in zip(images(8), expected, strict=True):
            answer = client.post("/predict", files={"file": ("x.png", image)}).json()
            by_label = {item["label"]: item["probability"] for item in answer["predictions"]}
            received = [by_label[label] for label in model.labels]
            assert received == pytest.approx(row.tolist(), abs=1e-5)
            assert answer["model"] == {"name": "tiny", "version": 1}


def test_many_clients_at_once_each_get_their_own_answer(service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        alone = [client.post("/predict", content=image).json() for image in images(16)]
    wrong: list[int] = []

    def ask(start: int) -> None:
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
            for place in [*range(start, 16), *range(start)]:
                answer = client.post("/predict", content=images(16)[place]).json()
                same = answer["probability"] == pytest.approx(alone[place]["probability"], abs=1e-5)
                if answer["label"] != alone[place]["label"] or not same:
                    wrong.append(place)

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_quick_requests_in_a_row_do_not_stand_in_each_others_way(
    shared_tiny_store: ModelStore,
) -> None:
    body = images(1)[0]
    with running(shared_tiny_store.root, max_queue=2) as service:
        service.wait_until_ready()
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
            codes = [client.post("/predict", content=body).status_code for _ in range(50)]

    assert codes == [200] * 50


def test_body_sent_in_pieces_is_one_image(service: Service) -> None:
    def pieces() -> Iterator[bytes]:
        image = images(1)[0]
        for start in range(0, len(image), 7):
            yield image[start : start + 7]

    assert (
        httpx.post(f"{service.url}/predict", content=pieces(), timeout=PATIENCE_S).status_code
        == 200
    )


def test_garbage_instead_of_http_does_not_hurt(service: Service) -> None:
    for garbage in (
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection(service.address, timeout=PATIENCE_S) as connection:
            connection.sendall(garbage)
            assert b" 400 " in connection.recv(1000)

    assert httpx.get(f"{service.url}/livez", timeout=PATIENCE_S).status_code == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_drains_and_exits_with_0(shared_tiny_store: ModelStore, workers: int) -> None:
    # A second signal ends the draining of one process; a supervisor passes on the first alone.
    drain_seconds = 600 if workers == 1 else 6
    root = shared_tiny_store.root
    with running(root, drain_seconds=drain_seconds, workers=workers) as service:
        service.wait_until_ready()
        service.process.send_signal(signal.SIGTERM)
        service.wait_for_log("Draining")
        draining = httpx.get(f"{service.url}/readyz", timeout=PATIENCE_S)
        predicted = httpx.post(f"{service.url}/predict", content=images(1)[0], timeout=PATIENCE_S)
        service.process.send_signal(signal.SIGTERM)
        code = service.process.wait(PATIENCE_S)

    assert workers > 1 or (draining.status_code, draining.json()["status"]) == (503, "draining")
    assert predicted.status_code == 200
    assert code == 0, "".join(service.lines)
    assert "Traceback" not in "".join(service.lines)


def test_sighup_loads_a_new_version_at_once(tiny_store: ModelStore) -> None:
    from tiny_models import publish_tiny

    with running(tiny_store.root, poll_seconds=3600) as service:
        service.wait_until_ready()
        publish_tiny(tiny_store, "tiny", seed=1)
        service.process.send_signal(signal.SIGHUP)
        service.wait_for_log("Serving tiny version 2")
        answer = httpx.post(
            f"{service.url}/predict", content=images(1)[0], timeout=PATIENCE_S
        ).json()

    assert answer["model"] == {"name": "tiny", "version": 2}


def test_connection_without_headers_is_closed(shared_tiny_store: ModelStore) -> None:
    with running(shared_tiny_store.root, header_seconds=1) as service:
        for sent in (b"", b"POST /predict HTTP/1.1\r\nHost:", b"\r\n\r\n\r\n"):
            with socket.create_connection(service.address, timeout=PATIENCE_S) as connection:
                connection.sendall(sent)
                assert connection.recv(1000) == b""


def test_unfinished_body_is_answered_408(shared_tiny_store: ModelStore) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
    with running(shared_tiny_store.root, upload_seconds=0.2) as service:
        service.wait_until_ready()
        with socket.create_connection(service.address, timeout=PATIENCE_S) as connection:
            connection.sendall(head)
            assert b" 408 " in connection.recv(5000)


def test_bad_setting_stops_the_start_with_a_sentence() -> None:
    environment = {**os.environ, "HALFTONE_PORT": "many"}
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("HALFTONE_PORT: ")


def test_refused_body_that_never_ends_is_not_waited_for(shared_tiny_store: ModelStore) -> None:
    with running(shared_tiny_store.root, deadline_ms=0.001, header_seconds=2) as service:
        service.wait_until_ready()
        with socket.create_connection(service.address, timeout=PATIENCE_S) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 503 ")
