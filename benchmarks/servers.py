"""Services in processes of their own, watched from outside through /proc."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_store.bundle import Bundle

_START_SECONDS = 180
_STOP_SECONDS = 30
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerDied(RuntimeError):
    """The service ended before it was ready."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running service."""

    port: int
    process: "subprocess.Popen[bytes]"
    seconds_to_ready: float

    def cpu_seconds(self) -> float:
        """Return the CPU time of the service and its worker processes so far."""
        return sum(_cpu_seconds(pid) for pid in _family(self.process.pid))

    def memory_mb(self) -> float:
        """Return the resident memory of all its processes, in units of 10⁶ bytes."""
        return sum(_resident_bytes(pid) for pid in _family(self.process.pid)) / 1e6


@contextmanager
def ours(bundle: Bundle, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run `python -m app` on the store that holds `bundle`."""
    environment = {
        "HALFTONE_MODELS": str(bundle.folder.parent.parent),
        "HALFTONE_MODEL": bundle.manifest.name,
        "HALFTONE_LOG_LEVEL": "warning",
        "HALFTONE_ACCESS_LOG": "false",
        "HALFTONE_DRAIN_SECONDS": "0",
        **(settings or {}),
    }
    port = free_port()
    command = [sys.executable, "-m", "app"]
    with _run(command, {**environment, "HALFTONE_PORT": str(port)}, port) as server:
        yield server


@contextmanager
def baseline(bundle: Bundle) -> Iterator[Server]:
    """Run `benchmarks.baseline` on the Keras model of `bundle`."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.baseline:app", "--no-access-log"]
    command += ["--port", str(port), "--log-level", "warning"]
    environment = {
        "BASELINE_MODEL": str(bundle.folder / "model.keras"),
        "BASELINE_HEIGHT": str(bundle.manifest.image.height),
        "BASELINE_WIDTH": str(bundle.manifest.image.width),
    }
    with _run(command, environment, port) as server:
        yield server


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _run(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[Server]:
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        _await_ready(process, port)
        yield Server(port, process, time.perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.perf_counter() + _START_SECONDS
    while time.perf_counter() < end:
        if process.poll() is not None:
            raise ServerDied(f"The service ended with exit code {process.returncode}")
        try:
            # Our own server, on the loopback address.
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise ServerDied(f"The service was not ready after {_START_SECONDS} s")


def _family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children = _children(pid)
    return [pid, *(member for child in children for member in _family(child))]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    # The name in parentheses may hold spaces; utime and stime are the 14th and 15th field.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
