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
# A thread that has been at one image for so long is at a slow one.
HURRY_S = 0.02


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
    """Runs jobs on up to `threads` threads inside a `with` block. Jobs must not raise.

    Small files are left to one thread: decoding them is mostly Python, for whose lock a second
    thread would only contend.

    Jobs of requests with many images have a queue of their own. The two take turns, so that one
    request with many slow images holds up the others by one image, not by all of them.

    Smaller than an executor: no future per job, because the job itself passes its result on.
    """

    def __init__(self, threads: int) -> None:
        self._singles: deque[Job] = deque()
        self._many: deque[Job] = deque()
        self._singles_turn = True
        # True wakes the first thread, or one of the others; False ends one.
        self._work: SimpleQueue[bool] = SimpleQueue()
        self._help: SimpleQueue[bool] = SimpleQueue()
        self._is_idle = True  # the first thread
        self._is_shared = True  # the work, by all threads
        self._taken_at = 0.0  # when the first thread took its image
        self._mean_s = 0.001
        self._threads = [
            threading.Thread(
                target=self._help_out if number else self._lead,
                name=f"decode-{number}",
                daemon=True,
            )
            for number in range(threads)
        ]

    def __enter__(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc_info: object) -> None:
        """Finish what was submitted, then end the threads."""
        self._work.put(False)
        for _ in self._threads:
            self._help.put(False)
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
        threads = len(self._threads) if self._is_shared else 1
        return self._mean_s * (1 + ahead / threads) if ahead else 0.0

    def submit(self, job: Job, *, is_small: bool = False, is_one_of_many: bool = False) -> None:
        """Queue `job`; it is called with its thread's scratch buffers.

        Args:
            job: what to run.
            is_small: whether one thread would do, for as long as nothing holds it up.
            is_one_of_many: whether a single job may overtake it.
        """
        (self._many if is_one_of_many else self._singles).append(job)
        self._is_shared = not is_small
        if self._is_idle:
            self._is_idle = False
            self._work.put(True)
        elif not is_small or self._is_held_up():
            self._call_help()

    def hurry(self) -> bool:
        """Let others help if jobs wait while the first thread is held up; return whether any wait.

        To be called every HURRY_S seconds for as long as small files wait.
        """
        if self.backlog and self._is_held_up():
            self._call_help()
        return self.backlog > 0

    def _is_held_up(self) -> bool:
        return time.monotonic() - self._taken_at > HURRY_S

    def _call_help(self) -> None:
        if len(self._threads) > 1:  # else nobody would ever take the token
            self._help.put(True)

    def _lead(self) -> None:
        give_way()
        scratch = Scratch()
        while True:
            self._empty_queues(scratch, is_first=True)
            self._is_idle = True
            # One may have been submitted before that was said.
            if not self.backlog and not self._work.get():
                return
            self._is_idle = False

    def _help_out(self) -> None:
        give_way()
        scratch = Scratch()
        while self._help.get():
            self._empty_queues(scratch, is_first=False)

    def _empty_queues(self, scratch: Scratch, *, is_first: bool) -> None:
        while (job := self._take()) is not None:
            started_at = time.monotonic()
            if is_first:
                self._taken_at = started_at
            job(scratch)
            self._mean_s += SMOOTHING * (time.monotonic() - started_at - self._mean_s)

    def _take(self) -> Job | None:
        self._singles_turn = not self._singles_turn
        lanes = (self._many, self._singles)
        for lane in reversed(lanes) if self._singles_turn else lanes:
            with suppress(IndexError):
                return lane.popleft()
        return None
