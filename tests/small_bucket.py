"""A bucket in memory that speaks as much of S3 as the store needs, and notes what it is asked."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

SECRET = "a-secret-that-nobody-may-read"  # noqa: S105  # it opens nothing


@dataclass
class SmallBucket:
    """The bucket `models`, and what was asked of it."""

    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    heeds_conditions: bool = True
    status: int | None = None  # answered to everything, if it is set
    requests: list[tuple[str, str, int]] = field(default_factory=list)  # method, key, status
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    url = "s3://models/prefix"

    def key(self, key: str) -> str:
        return f"prefix/{key}"

    def etag(self, key: str) -> str | None:
        return (
            f'"{hashlib.sha256(self.objects[key][0]).hexdigest()}"' if key in self.objects else None
        )

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    @contextmanager
    def running(self) -> Iterator["SmallBucket"]:
        bucket = self

        class Handler(_Handler):
            served = bucket

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def use(bucket: SmallBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client find the bucket, and nothing of this machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)


class _Handler(BaseHTTPRequestHandler):
    served: SmallBucket
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one piece

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the client has gone
            return

    def log_message(self, *_: Any) -> None: ...

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with self.served.lock:
            now = self.served.etag(self._key)
            if self.served.heeds_conditions and (
                (self.headers["If-None-Match"] == "*" and now)
                or (self.headers["If-Match"] and self.headers["If-Match"] != now)
            ):
                return self._answer(412)
            if self.served.status is None:
                self.served.objects[self._key] = (data, time.time())
            return self._answer(200, etag=self.served.etag(self._key))

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        with self.served.lock:
            if "list-type" in query:
                return self._list(query.get("prefix", [""])[0])
            if self._key not in self.served.objects:
                return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            etag = self.served.etag(self._key)
            if self.headers["If-None-Match"] == etag:
                return self._answer(304, etag=etag)
            return self._answer(200, self.served.objects[self._key][0], etag)

    def do_POST(self) -> None:
        """Remove objects, as the client asks."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.served.lock:
            keys = [part.partition("</Key>")[0] for part in body.split("<Key>")[1:]]
            for key in keys:
                self.served.objects.pop(key, None)
            removed = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{removed}</DeleteResult>".encode())

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/models/")

    def _list(self, prefix: str) -> None:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            f"<LastModified>{_iso(at)}</LastModified><ETag>{self.served.etag(key)}</ETag></Contents>"
            for key, (data, at) in sorted(self.served.objects.items())
            if key.startswith(prefix)
        )
        self._answer(200, f"<ListBucketResult>{entries}</ListBucketResult>".encode(), name="LIST")

    def _answer(
        self, status: int, body: bytes = b"", etag: str | None = None, name: str | None = None
    ) -> None:
        status = self.served.status or status
        self.served.requests.append((name or self.command, self._key, status))
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        at = self.served.objects.get(self._key, (b"", time.time()))[1]
        self.send_header("Last-Modified", formatdate(at, usegmt=True))
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(body)


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
