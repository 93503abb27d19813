"""Load from outside the service's process: closed loops for saturation, open loops for latency."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.clock import percentiles

_LUA = Path(__file__).with_name("wrk.lua")
_MOST_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Requests:
    """What to send: one body after another, round and round."""

    host: str
    port: int
    path: str
    content_type: str
    bodies: Sequence[bytes]

    def raw(self, number: int) -> bytes:
        """Return the `number`-th request as bytes on the wire."""
        body = self.bodies[number % len(self.bodies)]
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def raw_images(port: int, files: Sequence[bytes]) -> Requests:
    """Return requests whose bodies are the images themselves, to a service on this machine."""
    return Requests("127.0.0.1", port, "/predict", "application/octet-stream", files)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    requests: int
    failures: int  # not answered with 200
    seconds: float
    latency_ms: dict[str, float]  # "p50_ms", "p99_ms", "max_ms"; of an open loop's successes only

    @property
    def per_second(self) -> float:
        """Successful answers per second."""
        return (self.requests - self.failures) / self.seconds


def closed_loop(requests: Requests, clients: int, seconds: float) -> Load:
    """Let `clients` connections send one request after another; wrk does it where installed."""
    if shutil.which("wrk"):
        return _wrk(requests, clients, seconds)
    return asyncio.run(_closed_loop(requests, clients, seconds))


def open_loop(requests: Requests, per_second: float, seconds: float, seed: int = 0) -> Load:
    """Send requests at random moments (a Poisson process), whether or not others are answered.

    Latency counts from the moment a request was meant to be sent, so that a stalled service cannot
    hide by stalling its clients too (Tene's "coordinated omission").
    """
    gaps = np.random.default_rng(seed).exponential(1 / per_second, int(per_second * seconds))
    return asyncio.run(_open_loop(requests, np.cumsum(gaps)))


class _Connections:
    """Keep-alive connections, as many as are needed at once, up to what a proxy would open."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._free = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, number: int) -> bool:
        """Send one request and return whether it was answered with 200."""
        async with self._free:
            try:
                reader, writer = self._idle.pop() if self._idle else await self._open()
                writer.write(self._requests.raw(number))
                ok = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                return False
            self._idle.append((reader, writer))
            return ok

    def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._requests.host, self._requests.port)


async def _answer(reader: asyncio.StreamReader) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    await reader.readexactly(length)
    return head.split(b" ", 2)[1] == b"200"


async def _open_loop(requests: Requests, moments: Sequence[float] | np.ndarray) -> Load:
    connections = _Connections(requests)
    milliseconds: list[float] = []
    failures = 0

    async def one(number: int, intended: float) -> None:
        nonlocal failures
        if await connections.send(number):
            milliseconds.append(1000 * (time.perf_counter() - intended))
        else:
            failures += 1

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, moment in enumerate(moments):
            await asyncio.sleep(start + moment - time.perf_counter())
            group.create_task(one(number, start + moment))
    seconds = time.perf_counter() - start
    connections.close()
    return Load(len(moments), failures, seconds, percentiles(milliseconds))


async def _closed_loop(requests: Requests, clients: int, seconds: float) -> Load:
    connections = _Connections(requests)
    milliseconds: list[float] = []
    failures = 0
    start = time.perf_counter()

    async def client(offset: int) -> None:
        nonlocal failures
        while (sent := time.perf_counter()) < start + seconds:
            failures += not await connections.send(offset + len(milliseconds))
            milliseconds.append(1000 * (time.perf_counter() - sent))

    async with asyncio.TaskGroup() as group:
        for offset in range(clients):
            group.create_task(client(offset))
    taken = time.perf_counter() - start
    connections.close()
    return Load(len(milliseconds), failures, taken, percentiles(milliseconds))


def _wrk(requests: Requests, clients: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, body in enumerate(requests.bodies):
            files.append(Path(folder) / f"{number}")
            files[-1].write_bytes(body)
        url = f"http://{requests.host}:{requests.port}{requests.path}"
        options = ["-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        command = [
            "wrk",
            *options,
            "-s",
            str(_LUA),
            url,
            "--",
            requests.content_type,
            *map(str, files),
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return _parse(output)


def _parse(output: str) -> Load:
    """Read the line of JSON with which wrk.lua ends."""
    found = json.loads(output[output.rindex("{") :])
    microseconds = {"p50_ms": found["p50"], "p99_ms": found["p99"], "max_ms": found["max"]}
    return Load(
        requests=found["requests"],
        failures=found["failures"],
        seconds=found["duration"] / 1e6,
        latency_ms={name: value / 1000 for name, value in microseconds.items()},
    )
