"""A fixed number of threads that turn encoded bytes into pixels."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

Job = Callable[["Scratch"], None]

# Weight of the newest observation in the running mean of seconds per image.
SMOOTHING = 0.1


class Scratch:
    """One thread's pixel buffers, one per image size, reused for every image."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[int, int], NDArray[np.uint8]] = {}

    def pixels(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a (H, W) uint8 buffer with arbitrary content."""
        buffer = self._buffers.get(shape)
        if buffer is None:
            buffer = self._buffers[shape] = np.empty(shape, np.uint8)
        return buffer


class DecodePool:
    """Runs jobs on `threads` threads, in order, inside a `with` block. Jobs must not raise.

    Smaller than an executor: no future per job, because the job itself passes its result on.
    """

    def __init__(self, threads: int) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._mean_s = 0.001
        self._threads = [
            threading.Thread(target=self._work, name=f"decode-{number}", daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc_info: object) -> None:
        """Finish what was submitted, then end the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    @property
    def backlog(self) -> int:
        """Jobs that no thread has taken yet."""
        return self._jobs.qsize()

    def expected_s(self) -> float:
        """Return the seconds until a job submitted now would be done.

        Nothing, while no job waits: how long the last ones took must not keep the next from being
        tried, or a few slow images would close the service for good.
        """
        backlog = self.backlog
        return self._mean_s * (1 + backlog / len(self._threads)) if backlog else 0.0

    def submit(self, job: Job) -> None:
        """Queue `job`; it is called with its thread's scratch buffers."""
        self._jobs.put(job)

    def _work(self) -> None:
        scratch = Scratch()
        while (job := self._jobs.get()) is not None:
            started_at = time.monotonic()
            job(scratch)
            self._mean_s += SMOOTHING * (time.monotonic() - started_at - self._mean_s)
