"""`python -m app` as a process on a real port."""

import os
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
from commands import ROOT
from patience import PATIENCE_S, until

from model_store.pixels.preprocessing import encode_png

# Below those that a system gives to whoever connects, or asks for any: nobody takes one meanwhile.
_PORTS = iter(random.SystemRandom().sample(range(20_000, 32_000), 12_000))


class Service:
    """A running service, and its log."""

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

    def wait_until_ended(self) -> int:
        """Return the exit code, when the whole log is here."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self._reader.join(PATIENCE_S)
            self.process.stderr.close()

    def wait_for_log(self, pattern: str, times: int = 1) -> re.Match[str]:
        def found() -> list[re.Match[str]]:
            return [match for line in self.lines if (match := re.search(pattern, line))]

        with self._changed:
            self._changed.wait_for(
                lambda: len(found()) >= times or not self._reader.is_alive(), PATIENCE_S
            )
            assert len(found()) >= times, "".join(self.lines)
            return found()[0]

    def wait_until_ready(self, url: str | None = None) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, "".join(self.lines[-20:])
            assert not [line for line in self.lines if "cannot serve" in line]
            return is_ready(url or self.url)

        until(ready, lambda: "".join(self.lines[-20:]))

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        return url.host, url.port or 80


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=PATIENCE_S).status_code == 200
    except httpx.TransportError:  # nobody listens yet
        return False


def elsewhere() -> dict[str, str]:
    """This process's environment without settings of the project."""
    return {key: value for key, value in os.environ.items() if not key.startswith("HALFTONE_")}


@contextmanager
def started(
    command: Sequence[object], environment: Mapping[str, str], folder: Path = ROOT
) -> Iterator[Service]:
    """Run a command that serves, until the end of the block."""
    process = subprocess.Popen(
        list(map(str, command)), cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    service = Service(process)
    try:
        yield service
    finally:
        service.close()


@contextmanager
def running(models: Path, **settings: object) -> Iterator[Service]:
    usual = {"port": 0, "models": models, "drain_seconds": 0, "deadline_ms": 60_000}
    named = {f"HALFTONE_{name.upper()}": str(value) for name, value in (usual | settings).items()}
    with started([sys.executable, "-m", "app"], elsewhere() | named) as service:
        yield service


def images(count: int) -> list[bytes]:
    generator = np.random.default_rng(5)
    return [encode_png(generator.integers(0, 256, (12, 10), np.uint8)) for _ in range(count)]


def free_port() -> int:
    """Return one for a program that has to be told its port; each only once."""
    for port in _PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
