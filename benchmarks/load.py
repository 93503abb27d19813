"""Load from outside the service's process: closed loops for rates, open loops for latencies."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

_MOST_CONNECTIONS = 256  # as many as a proxy would open


@dataclass(frozen=True, slots=True)
class Requests:
    """What to send to a port of this machine: one request after another, round and round."""

    port: int
    wire: Sequence[bytes]  # each a whole request

    @classmethod
    def of(
        cls, port: int, bodies: Sequence[bytes], content_type: str = "application/octet-stream"
    ) -> "Requests":
        """Return requests to /predict, one with each body."""
        head = (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
        )
        wire = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        return cls(port, wire)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    requests: int
    failures: int  # not answered with 200
    seconds: float
    latency_ms: dict[str, float]  # of the successes: "p50_ms", "p99_ms", "max_ms"; NaN of none

    @property
    def per_second(self) -> float:
        """Successful answers per second."""
        return (self.requests - self.failures) / self.seconds


def closed_loop(requests: Requests, clients: int, seconds: float) -> Load:
    """Let each of `clients` send one request after another, waiting for every answer."""

    async def drive(sender: _Sender, start: float) -> None:
        async def client(offset: int) -> None:
            for number in count(offset, clients):
                if (sent := time.perf_counter()) >= start + seconds:
                    return
                await sender.send(number, sent)

        await asyncio.gather(*map(client, range(clients)))

    return asyncio.run(_load(requests, drive))


def open_loop(requests: Requests, per_second: float, seconds: float, seed: int = 0) -> Load:
    """Send requests at random moments (a Poisson process), whether or not others are answered.

    Latency counts from the moment a request was meant to be sent, so that a stalled service cannot
    hide by stalling its clients too (Tene's "coordinated omission").
    """
    gaps = np.random.default_rng(seed).exponential(1 / per_second, int(per_second * seconds))

    async def drive(sender: _Sender, start: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number, moment in enumerate(start + np.cumsum(gaps)):
                await asyncio.sleep(moment - time.perf_counter())
                group.create_task(sender.send(number, moment))

    return asyncio.run(_load(requests, drive))


async def _load(requests: Requests, drive: Callable[["_Sender", float], Awaitable[None]]) -> Load:
    sender, start = _Sender(requests), time.perf_counter()
    await drive(sender, start)
    seconds = time.perf_counter() - start
    sender.close()
    answered = sender.milliseconds
    quantiles = np.percentile(answered, (50, 99, 100)) if answered else (float("nan"),) * 3
    latency_ms = dict(zip(("p50_ms", "p99_ms", "max_ms"), map(float, quantiles), strict=True))
    return Load(len(answered) + sender.failures, sender.failures, seconds, latency_ms)


class _Sender:
    """Keep-alive connections, as many as are needed at once, and what came of their requests."""

    def __init__(self, requests: Requests) -> None:
        self.milliseconds: list[float] = []
        self.failures = 0
        self._requests = requests
        self._free = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, number: int, since: float) -> None:
        """Send the `number`-th request; its latency counts from `since`."""
        async with self._free:
            answered = await self._answered(self._requests.wire[number % len(self._requests.wire)])
        if answered:
            self.milliseconds.append(1000 * (time.perf_counter() - since))
        else:
            self.failures += 1

    def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()

    async def _answered(self, request: bytes) -> bool:
        try:
            reader, writer = self._idle.pop() if self._idle else await self._open()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return False
        self._idle.append((reader, writer))
        return head.split(b" ", 2)[1] == b"200"

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._requests.port)
