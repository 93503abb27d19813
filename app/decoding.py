"""A fixed number of threads that turn encoded bytes into pixels."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from app.threads import give_way

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
    """Runs jobs on `threads` threads inside a `with` block. Jobs must not raise.

    Jobs of requests with many images have a queue of their own. The two take turns, so that one
    request with many slow images holds up the others by one image, not by all of them.

    Smaller than an executor: no future per job, because the job itself passes its result on.
    """

    def __init__(self, threads: int) -> None:
        self._singles: deque[Job] = deque()
        self._many: deque[Job] = deque()
        self._singles_turn = True
        # One True for each job, put after it, and one False for each thread at the end.
        self._more: SimpleQueue[bool] = SimpleQueue()
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
            self._more.put(False)
        for thread in self._threads:
            thread.join()

    @property
    def backlog(self) -> int:
        """Jobs that no thread has taken yet."""
        return len(self._singles) + len(self._many)

    def expected_s(self) -> float:
        """Return the seconds until a single job submitted now would be done.

        Nothing, while no job waits: how long the last ones took must not keep the next from being
        tried, or a few slow images would close the service for good.
        """
        singles, many = len(self._singles), len(self._many)
        ahead = singles + min(many, singles + 1)
        return self._mean_s * (1 + ahead / len(self._threads)) if ahead else 0.0

    def submit(self, job: Job, *, is_one_of_many: bool = False) -> None:
        """Queue `job`; it is called with its thread's scratch buffers."""
        (self._many if is_one_of_many else self._singles).append(job)
        self._more.put(True)

    def _work(self) -> None:
        give_way()
        scratch = Scratch()
        while self._more.get():
            job = self._take()
            started_at = time.monotonic()
            job(scratch)
            self._mean_s += SMOOTHING * (time.monotonic() - started_at - self._mean_s)

    def _take(self) -> Job:
        """Return the next job. There is one: whoever calls has taken its token."""
        while True:
            self._singles_turn = not self._singles_turn
            lanes = (self._many, self._singles)
            for lane in reversed(lanes) if self._singles_turn else lanes:
                # Another thread may be quicker; then there is a job in the other queue.
                with suppress(IndexError):
                    return lane.popleft()
