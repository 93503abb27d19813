"""Services in processes of their own, watched from outside through /proc."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from model_store.bundle import Bundle

_START_SECONDS = 180
_STOP_SECONDS = 10
_LITSERVE_PYTHON = Path(".venv-litserve/bin/python")
INSTALL_LITSERVE = "scripts/setup .venv-litserve requirements/litserve.txt"
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
        """Return the proportional memory of all its processes, in units of 10⁶ bytes."""
        return sum(_proportional_bytes(pid) for pid in _family(self.process.pid)) / 1e6


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
    with _run(command, _peer_settings(bundle, port), port) as server:
        yield server


def litserve_is_installed() -> bool:
    """Whether LitServe has its environment here; its own pins are not this project's."""
    return _LITSERVE_PYTHON.exists()


@contextmanager
def litserve(bundle: Bundle) -> Iterator[Server]:
    """Run `benchmarks/litserve_peer.py` on the Keras model of `bundle`."""
    port = free_port()
    command = [str(_LITSERVE_PYTHON), "benchmarks/litserve_peer.py"]
    with _run(command, _peer_settings(bundle, port), port, "/health") as server:
        yield server


def _peer_settings(bundle: Bundle, port: int) -> dict[str, str]:
    return {
        "PEER_MODEL": str(bundle.folder / "model.keras"),
        "PEER_HEIGHT": str(bundle.manifest.image.height),
        "PEER_WIDTH": str(bundle.manifest.image.width),
        "PEER_PORT": str(port),
    }


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _run(
    command: Sequence[str], environment: Mapping[str, str], port: int, ready: str = "/readyz"
) -> Iterator[Server]:
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)
    try:
        _await_ready(process, f"http://127.0.0.1:{port}{ready}")
        yield Server(port, process, time.perf_counter() - started)
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process, and what it leaves behind of its group: LitServe's workers outlive it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _await_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    end = time.perf_counter() + _START_SECONDS
    while time.perf_counter() < end:
        if process.poll() is not None:
            raise ServerDied(f"The service ended with exit code {process.returncode}")
        try:
            # Our own server, on the loopback address.
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
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


def _proportional_bytes(pid: int) -> int:
    # What processes share counts once, spread over them.
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0])
