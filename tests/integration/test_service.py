"""python -m app as a process on a real port, with a real bundle and a real client."""

import os
import re
import signal
import socket
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from commands import python
from service_process import PATIENCE_S, Service, images, running

from model_store.bundle import open_model
from model_store.pixels.preprocessing import preprocess
from model_store.store.store import ModelStore


def test_answers_are_those_of_the_bundle(service, shared_tiny_store):
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


def test_quick_requests_in_a_row_do_not_stand_in_each_others_way(shared_tiny_store):
    body = images(1)[0]
    with running(shared_tiny_store.root, max_queue=2) as service:
        service.wait_until_ready()
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
            codes = [client.post("/predict", content=body).status_code for _ in range(50)]

    assert codes == [200] * 50


def test_garbage_instead_of_http_does_not_hurt(service):
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
def test_sigterm_drains_and_exits_with_0(shared_tiny_store, workers):
    with running(shared_tiny_store.root, drain_seconds=600, workers=workers) as service:
        service.wait_for_log("Serving tiny", times=workers)
        service.wait_until_ready()
        service.process.send_signal(signal.SIGTERM)
        service.wait_for_log("Draining", times=workers)
        draining = httpx.get(f"{service.url}/readyz", timeout=PATIENCE_S)
        predicted = httpx.post(f"{service.url}/predict", content=images(1)[0], timeout=PATIENCE_S)
        # A second signal ends the draining of a worker; a supervisor passes on the first alone.
        for pid in re.findall(r"Started server process \[(\d+)\]", "".join(service.lines)):
            os.kill(int(pid), signal.SIGTERM)
        code = service.wait_until_ended()

    assert (draining.status_code, draining.json()["status"]) == (503, "draining")
    assert predicted.status_code == 200
    assert code == 0, "".join(service.lines)
    assert "Traceback" not in "".join(service.lines)


def test_sighup_loads_a_new_version_at_once(tiny_store):
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


@pytest.fixture(scope="module")
def impatient(shared_tiny_store: ModelStore) -> Iterator[Service]:
    """A service that waits for neither headers nor bodies for long."""
    with running(shared_tiny_store.root, header_seconds=1, upload_seconds=0.2) as service:
        service.wait_until_ready()
        yield service


def test_connection_without_headers_is_closed(impatient):
    for sent in (b"", b"POST /predict HTTP/1.1\r\nHost:", b"\r\n\r\n\r\n"):
        with socket.create_connection(impatient.address, timeout=PATIENCE_S) as connection:
            connection.sendall(sent)
            assert connection.recv(1000) == b""


def test_unfinished_body_is_answered_408(impatient):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
    with socket.create_connection(impatient.address, timeout=PATIENCE_S) as connection:
        connection.sendall(head)
        assert b" 408 " in connection.recv(5000)


def test_refused_body_that_never_ends_is_not_waited_for(impatient):
    with socket.create_connection(impatient.address, timeout=PATIENCE_S) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))

    assert received.startswith(b"HTTP/1.1 404 ")


def test_client_that_never_stops_sending_is_not_listened_to_for_long(impatient):
    head = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    with socket.create_connection(impatient.address, timeout=PATIENCE_S) as connection:
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        with pytest.raises(OSError, match=r"reset|pipe"):
            while True:
                connection.sendall(b"x" * 10_000)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_bad_setting_stops_the_start_with_a_sentence():
    done = python("-m", "app", env={"HALFTONE_PORT": "many"})

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("HALFTONE_PORT: ")
