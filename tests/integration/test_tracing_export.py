"""Spans of a real service, as a collector receives them over HTTP."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from service_process import PATIENCE_S, running

MODELS = Path(__file__).parents[2] / "models"
IMAGE = MODELS / "digits" / "1" / "probe" / "00.png"


class Collector(ThreadingHTTPServer):
    """A small OTLP receiver."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receive)
        self.received: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def span_names(self) -> list[str]:
        return [
            span.name
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        return {
            attribute.value.string_value
            for request in self.received
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }


class Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            self.server.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # the name is the base's
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def test_a_collector_and_the_log_are_told_of_a_request_and_of_no_secret(monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with running(MODELS, log_format="json") as service:
            service.wait_until_ready()
            address, secret = f"{service.url}/predict", {"authorization": "Bearer SECRET"}
            answer = httpx.post(
                address, content=IMAGE.read_bytes(), headers=secret, timeout=PATIENCE_S
            )
            refused = httpx.post(address, params={"token": "SECRET"}, timeout=PATIENCE_S)
            logged = json.loads(service.wait_for_log(r'.*"path":"/predict".*').group())
            service.process.send_signal(signal.SIGTERM)
            code = service.wait_until_ended()

    assert (answer.status_code, refused.status_code, code) == (200, 400, 0)
    assert collector.services() == {"halftone"}
    names = collector.span_names()
    assert names.count("POST /predict") == 2
    assert sorted(set(names) - {"GET /readyz"}) == ["POST /predict", "decode", "inference", "queue"]
    assert logged["request_id"] == answer.headers["x-request-id"]
    assert (logged["status"], logged["model"], logged["version"]) == (200, "digits", 1)
    assert logged["duration_ms"] > 0
    assert "SECRET" not in str(collector.received) + "".join(service.lines)


@pytest.mark.slow
def test_a_collector_that_never_answers_holds_up_neither_answers_nor_the_end(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120")
        with running(MODELS) as service:
            service.wait_until_ready()
            answer = httpx.post(
                f"{service.url}/predict", content=IMAGE.read_bytes(), timeout=PATIENCE_S
            )
            begun = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            code = service.wait_until_ended()
            seconds = time.monotonic() - begun

    assert (answer.status_code, code) == (200, 0), "".join(service.lines)
    assert seconds < 25  # the SDK by itself would wait for 30
    assert "Traceback" not in "".join(service.lines)
