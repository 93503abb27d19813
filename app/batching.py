"""A bounded, work-conserving queue of micro-batches in front of one engine.

An idle engine never waits for company; while it is busy, arrivals form the next batch. Knows arrays
and tickets, nothing of HTTP, files or event loops.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.costs import CostModel
from app.errors import (
    AppError,
    DeadlineExpired,
    InferenceFailed,
    NonFiniteOutput,
    Overloaded,
    QueueClosed,
)
from app.threads import give_way

logger = logging.getLogger("halftone.batching")

# Buffers kept for reuse: one fills while one is computed. More exist only during a burst.
SPARE_BATCHES = 2

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(slots=True, eq=False)
class Ticket:
    """One image's way through the queue. Times are `time.monotonic()` seconds.

    The owner sets `abandoned` when nobody wants the result any more; the queue sets the rest before
    it hands the ticket back, with either `probabilities` or `error`.
    """

    deadline: float = float("inf")
    abandoned: bool = False
    queued_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    batch_size: int = 0
    probabilities: NDArray[np.float32] | None = None  # (labels,)
    error: AppError | None = None


@dataclass(slots=True, eq=False)
class _Batch:
    images: NDArray[np.uint8]  # (max_batch, H, W), reused
    tickets: list[Ticket] = field(default_factory=list)


class BatchQueue:
    """Feeds one engine from many threads.

    Args:
        predict: (N, H, W) uint8 → (N, labels) float32, called from one thread only.
        shape: (H, W) of every image.
        deliver: called on the inference thread with the tickets of a finished batch.
        max_batch: most images per call of `predict`.
        capacity: most images that wait.
        costs: predicts how long batches take; learns from those computed here.
    """

    def __init__(
        self,
        predict: Predict,
        shape: tuple[int, int],
        deliver: Callable[[Sequence[Ticket]], None],
        *,
        max_batch: int,
        capacity: int,
        costs: CostModel | None = None,
    ) -> None:
        self._predict = predict
        self._shape = shape
        self._deliver = deliver
        self._max_batch = max_batch
        self._capacity = capacity
        self._costs = costs or CostModel()
        self._waiting: deque[_Batch] = deque()
        self._spare: list[_Batch] = []
        self._depth = 0
        self._running: _Batch | None = None
        self._running_since = 0.0
        self._idle_at = time.monotonic()
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Images that wait, not counting the batch being computed."""
        return self._depth

    def submit(self, pixels: NDArray[np.uint8], ticket: Ticket) -> None:
        """Copy one image into the batch that is forming; never waits.

        Args:
            pixels: (H, W) uint8; the caller may reuse it at once.
            ticket: handed to `deliver` when the image is done.

        Raises:
            Overloaded: the queue is full, or the ticket's deadline cannot be met.
            QueueClosed: `close` was called.
        """
        with self._changed:
            if self._closed:
                raise QueueClosed("The model was just replaced. Try again.", retry_after_s=0.1)
            ticket.queued_at = time.monotonic()
            self.admit(ticket.deadline - ticket.queued_at)
            batch = self._forming()
            batch.images[len(batch.tickets)] = pixels
            batch.tickets.append(ticket)
            self._depth += 1
            self._changed.notify()

    def admit(self, seconds: float, ahead: int = 0) -> None:
        """Refuse an image for which there is no place, or not in time.

        Args:
            seconds: within which it is to be done.
            ahead: images that will be submitted before it, but were not yet.

        Raises:
            Overloaded: with the seconds after which to try again.
        """
        expected_s = self.expected_s(ahead)
        if self._depth + ahead >= self._capacity:
            raise Overloaded(
                f"Expected fewer than {self._capacity} waiting images. Received one more.",
                retry_after_s=expected_s,
            )
        if expected_s > seconds:
            raise Overloaded(
                f"What is queued takes {expected_s * 1000:.0f} ms, longer than this image's "
                "deadline allows.",
                retry_after_s=expected_s - max(0.0, seconds),
            )

    def expected_s(self, ahead: int = 0) -> float:
        """Return the seconds until an image submitted after `ahead` others would be done."""
        running = self._running
        before = 0.0
        if ahead:
            # Those will be in the batch that is running when its turn comes.
            before = self._costs.batch_s(min(ahead, self._max_batch))
        elif running is not None:
            elapsed = time.monotonic() - self._running_since
            before = max(0.0, self._costs.batch_s(len(running.tickets)) - elapsed)
        return before + self._costs.total_s(self._depth + ahead + 1, self._max_batch)

    def stuck_s(self) -> float:
        """Return for how many seconds work has waited without any progress; 0 when idle."""
        with self._changed:
            if self._running is not None:
                return time.monotonic() - self._running_since
            if self._waiting:
                return time.monotonic() - max(self._idle_at, self._waiting[0].tickets[0].queued_at)
            return 0.0

    def close(self, timeout_s: float | None = None) -> bool:
        """Refuse new images, finish those accepted, and end the thread.

        Returns:
            Whether the thread ended within `timeout_s`.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _forming(self) -> _Batch:
        if self._waiting and len(self._waiting[-1].tickets) < self._max_batch:
            return self._waiting[-1]
        batch = self._spare.pop() if self._spare else self._new_batch()
        self._waiting.append(batch)
        return batch

    def _new_batch(self) -> _Batch:
        return _Batch(np.empty((self._max_batch, *self._shape), np.uint8))

    def _work(self) -> None:
        give_way()
        while (batch := self._next()) is not None:
            self._compute(batch)
            self._deliver(self._recycle(batch))

    def _next(self) -> _Batch | None:
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            batch = self._waiting.popleft()
            self._depth -= len(batch.tickets)
            self._running_since = time.monotonic()
            self._running = batch
            return batch

    def _compute(self, batch: _Batch) -> None:
        started_at = time.monotonic()
        rows = _wanted_rows(batch.tickets, started_at)
        if not rows:
            return
        tickets = [batch.tickets[row] for row in rows]
        for ticket in tickets:
            ticket.started_at = started_at
            ticket.batch_size = len(rows)
        try:
            probabilities = self._predict(_gather(batch.images, rows))  # (N, labels)
            if len(probabilities) != len(rows):
                raise InferenceFailed(f"Expected {len(rows)} rows. Received: {len(probabilities)}")
            _settle(tickets, probabilities, time.monotonic())
        except Exception as error:  # whatever the engine raises, its thread lives on
            logger.exception("The engine failed on a batch of %d", len(rows))
            _fail(tickets, error)
        else:
            self._costs.observe(len(rows), time.monotonic() - started_at)

    def _recycle(self, batch: _Batch) -> list[Ticket]:
        with self._changed:
            tickets, batch.tickets = batch.tickets, []
            self._running = None
            self._idle_at = time.monotonic()
            if len(self._spare) < SPARE_BATCHES:
                self._spare.append(batch)
            return tickets


def _wanted_rows(tickets: Sequence[Ticket], now: float) -> list[int]:
    """Return the rows still worth computing; tickets whose deadline passed get their error."""
    rows = []
    for row, ticket in enumerate(tickets):
        if ticket.abandoned:
            continue
        if ticket.deadline < now:
            ticket.error = DeadlineExpired("The deadline passed while the image waited.")
        else:
            rows.append(row)
    return rows


def _gather(images: NDArray[np.uint8], rows: Sequence[int]) -> NDArray[np.uint8]:
    """Return the first len(rows) images, after closing the gaps that unwanted rows left."""
    for target, row in enumerate(rows):
        if target != row:
            images[target] = images[row]
    return images[: len(rows)]


def _settle(
    tickets: Sequence[Ticket], probabilities: NDArray[np.float32], finished_at: float
) -> None:
    finite = np.asarray(np.isfinite(probabilities).all(axis=1))  # (N,)
    for ticket, row, is_finite in zip(tickets, probabilities, finite, strict=True):
        ticket.finished_at = finished_at
        if is_finite:
            ticket.probabilities = row
        else:
            ticket.error = NonFiniteOutput("The model answered with NaN or infinity.")


def _fail(tickets: Sequence[Ticket], cause: Exception) -> None:
    for ticket in tickets:
        ticket.finished_at = time.monotonic()
        # One instance each: raising adds a traceback to it.
        ticket.error = InferenceFailed("The engine failed.")
        ticket.error.__cause__ = cause
