"""What clients and proxies do on the wire: upgrades, early answers, prefixes, address families."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from commands import python, run
from service_process import PATIENCE_S, Service, free_port, images, running

from model_store.store.store import ModelStore

SBIN = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
LATE_BODY = b"x" * 5_000_000


def exchange(service: Service, sent: bytes) -> bytes:
    """Return everything that comes back until the service closes the connection."""
    with socket.create_connection(service.address, timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


UPGRADES = [
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    ("Connection: upgrade", "Upgrade: websocket"),
    ("Upgrade: h2c", "Connection: keep-alive, Upgrade"),
]


@pytest.mark.parametrize("headers", UPGRADES)
def test_offered_upgrade_is_ignored_and_the_body_read(service, headers):
    last = post("/predict", images(1)[0], "Connection: close")
    answers = exchange(service, post("/predict", images(1)[0], *headers) + last)

    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 ") == 2


def test_body_of_an_offered_upgrade_is_no_request(service):
    smuggled = b"GET /models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    last = post("/predict", images(1)[0], "Connection: close")
    answers = exchange(service, post("/predict", smuggled, *UPGRADES[0]) + last)

    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"415", b"200"]


def test_upgrade_and_body_may_arrive_byte_by_byte(service):
    sent = post("/predict", images(1)[0], "Connection: Upgrade, close", "Upgrade: h2c")
    with socket.create_connection(service.address, timeout=PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sent:
            connection.sendall(bytes([byte]))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 200 ")


def test_curl_that_offers_http2_gets_its_answer(service, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    (tmp_path / "image.png").write_bytes(images(1)[0])
    command = "curl", "-sS", "--http2", "-F", "file=@image.png", f"{service.url}/predict"
    done = run(*command, cwd=tmp_path)

    assert "label" in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("path", "version", "length", "status"),
    [
        ("/nothing", b"1.0", len(LATE_BODY), b"404"),
        ("/models/none/predict", b"1.1", len(LATE_BODY), b"404"),
        ("/predict", b"1.1", 1_000_000_000, b"413"),
    ],
)
def test_answer_before_the_body_was_read_arrives(service, path, version, length, status):
    head = post(path, b"", "Connection: close").replace(b"1.1", version, 1)
    sent = head.replace(b"Length: 0", b"Length: %d" % length) + LATE_BODY
    for _ in range(10):
        assert exchange(service, sent).startswith(b"HTTP/1.1 %b " % status)


NGINX = """
pid nginx.pid;
error_log stderr;
daemon off;
events {{}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u;
  scgi_temp_path s;
  client_max_body_size 20m;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {url}; proxy_http_version {version}; }}
    location /vision/ {{ proxy_pass {url}/; proxy_set_header X-Forwarded-For $remote_addr; }}
  }}
}}
"""


@contextmanager
def nginx(url: str, folder: Path, version: str) -> Iterator[str]:
    program = shutil.which("nginx", path=SBIN)
    if program is None:
        pytest.skip("no nginx here")
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(port=port, url=url, version=version))
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-g", "user root;"]
    process = subprocess.Popen(command)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            client.get(f"http://127.0.0.1:{port}/livez", timeout=PATIENCE_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def refusing(shared_tiny_store: ModelStore) -> Iterator[Service]:
    """A service for which every image comes too late."""
    with running(shared_tiny_store.root, deadline_ms=0.001) as service:
        service.wait_until_ready()
        yield service


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_nginx_passes_every_early_refusal_on(refusing, tmp_path, version):
    with (
        nginx(refusing.url, tmp_path, version) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_S) as client,
    ):
        for size in (300_000, 5_000_000):
            for _ in range(20):
                answer = client.post("/predict", content=b"x" * size)
                assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
                assert int(answer.headers["retry-after"]) >= 1


def test_nginx_that_strips_a_prefix_needs_no_setting(service, tmp_path):
    with (
        nginx(service.url, tmp_path, "1.1") as url,
        httpx.Client(base_url=f"{url}/vision", timeout=PATIENCE_S) as client,
    ):
        predicted = client.post("/predict/", content=images(1)[0])
        (server,) = client.get("/openapi.json").json()["servers"]
        page = client.get("/docs/", follow_redirects=True)
        service.wait_for_log(r" 127\.0\.0\.1 POST /predict 200 ")

    assert predicted.status_code == 200
    assert server == {"url": "."}
    assert str(page.url) == f"{url}/vision/docs"


def test_head_is_get_without_a_body(service):
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        for path in ("/livez", "/readyz", "/health", "/metrics", "/models", "/v2", "/", "/docs"):
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (200, b""), path
            assert head.headers["content-type"] == got.headers["content-type"]
        assert client.head("/predict").status_code == 405


def check_health(host: str, port: int) -> tuple[int, str]:
    """Return the check's exit code, and what it is told; through a proxy it would be nothing."""
    proxied = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    address = {"HALFTONE_HOST": host, "HALFTONE_PORT": str(port)}
    checked = python("-m", "app.health_check", env=proxied | address)
    return checked.returncode, json.loads(checked.stdout)["status"]


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_health_check_asks_the_service_of_this_machine_and_no_proxy(service, host):
    assert check_health(host, service.address[1]) == (0, "ready")


@pytest.mark.parametrize("host", ["::", "0.0.0.0"])  # noqa: S104  # on purpose
def test_health_check_asks_a_service_that_listens_everywhere(shared_tiny_store, host):
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with running(shared_tiny_store.root, host=host) as service:
        port = service.address[1]
        service.wait_until_ready(f"http://127.0.0.1:{port}")
        assert check_health(host, port) == (0, "ready")
