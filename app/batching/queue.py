"""A bounded, work-conserving queue of micro-batches in front of one engine.

An idle engine never waits for company; while it is busy, arrivals form the next batch. Knows arrays
and futures, nothing of HTTP, files or images.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from app.batching.cost_model import CostModel
from app.errors import (
    AppError,
    DeadlineExpired,
    InferenceFailed,
    NonFiniteOutput,
    NotReady,
    Overloaded,
    QueueClosed,
)

logger = logging.getLogger("halftone.batching")

# What an engine takes of images, the first dimension their number; it knows the others.
Inputs = NDArray[Any]
Infer = Callable[[Inputs], NDArray[np.float32]]


@dataclass(slots=True, eq=False)
class Place:
    """One image's place, from before it is decoded to its answer. Times are `time.monotonic()`.

    Who decodes sets `decode_at` and `decoded_at`, from any thread; the queue sets the rest.
    """

    queue: "BatchQueue"
    deadline: float
    expected_s: float  # until its answer, were there nothing but the queue
    came_alone: bool
    entered_at: float = field(default_factory=time.monotonic)
    decode_at: float = 0.0
    decoded_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    batch_size: int = 0
    inputs: Inputs | None = None  # what the engine takes of the image
    probabilities: NDArray[np.float32] | None = None  # (labels,)
    error: AppError | None = None
    answered: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def compute(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return the probabilities, (labels,), of an image, of which the engine takes `inputs`.

        Raises:
            DeadlineExpired: it was still waiting, or the engine is stuck.
            ComputeError: the engine failed.
            QueueClosed, NotReady: the engine was closed, or ended.
        """
        self.queue.submit(self, inputs)
        remaining_s = max(0.0, self.deadline - time.monotonic())
        # Of what is being computed, a late answer is worth more than none, unless it is stuck.
        for patience_s in (remaining_s, self.queue.patience_s):
            await asyncio.wait((self.answered,), timeout=patience_s)
            if self.answered.done() or not self.started_at:
                break
        if self.probabilities is None:
            raise self.error or DeadlineExpired("The deadline passed while the image waited.")
        return self.probabilities


class BatchQueue:
    """Feeds one engine. All methods but `stuck_s` belong to the event loop's thread.

    Args:
        infer: what the engine takes of N images → (N, labels) float32; called from one thread only.
        shape: of what it takes of one image.
        dtype: of the same.
        max_batch: most images per call of `infer`.
        capacity: most images that wait, decoded or not.
        decoders: threads that decode images for it.
        patience_s: how long after its deadline an image may still be computed.
        costs: predicts how long images take; learns from those of this queue.
    """

    def __init__(
        self,
        infer: Infer,
        shape: tuple[int, ...],
        dtype: DTypeLike = np.uint8,
        *,
        max_batch: int,
        capacity: int,
        decoders: int = 1,
        patience_s: float = 30.0,
        costs: CostModel | None = None,
    ) -> None:
        self.patience_s = patience_s
        self._infer = infer
        self._batch = np.empty((max_batch, *shape), dtype)  # reused
        self._max_batch = max_batch
        self._capacity = capacity
        self._decoders = decoders
        self._costs = costs or CostModel()
        self._depth = 0
        self._waiting: deque[Place] = deque()
        self._running: list[Place] = []
        self._running_since = 0.0
        self._idle_at = time.monotonic()
        self._closed = False
        self._end = "no reason is known"
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Places that were given and whose batch has not begun."""
        return self._depth

    def check(self, deadline: float) -> None:
        """Refuse an image for which there is no place, or not in time; reserves nothing.

        Args:
            deadline: by which it is to be done.

        Raises:
            Overloaded: with the seconds after which to try again.
            QueueClosed, NotReady: the engine was closed, or ended.
        """
        self._admit(deadline)

    def _admit(self, deadline: float) -> float:
        """Return `expected_s()`, or raise as `check` does."""
        self._check_open()
        alone_s = self.expected_s()
        # Who comes alone is tried, however late the last ones were.
        expected_s = alone_s + (self._costs.delay_s if self._depth else 0.0)
        spare_s = deadline - time.monotonic() - expected_s
        if self._depth >= self._capacity:
            raise Overloaded(
                f"Expected fewer than {self._capacity} waiting images. Received one more.",
                retry_after_s=expected_s,
            )
        if spare_s < 0:
            raise Overloaded(
                f"What is queued takes {expected_s * 1000:.0f} ms, longer than this image's "
                "deadline allows.",
                retry_after_s=min(expected_s, -spare_s),
            )
        return alone_s

    @contextmanager
    def place(self, deadline: float) -> Iterator[Place]:
        """Hold one place during the block; raises as `check` does."""
        place = Place(self, deadline, self._admit(deadline), came_alone=self._depth == 0)
        with self._changed:
            self._depth += 1
        try:
            yield place
        finally:
            self._leave(place)

    def submit(self, place: Place, inputs: Inputs) -> None:
        """Let the next batch take an image, of which the engine takes `inputs`; never waits."""
        self._check_open()
        if place.decode_at:
            self._costs.observe_decoding(place.decoded_at - place.decode_at)
        else:  # they were there already
            place.decode_at = place.decoded_at = time.monotonic()
        place.inputs = inputs
        with self._changed:
            self._waiting.append(place)
            self._changed.notify()

    def expected_s(self) -> float:
        """Return the seconds until an image that comes now would be done.

        Those that wait to be decoded count. The image's own decoding does not: how long the last
        ones took must not keep the next from being tried.
        """
        running, before_s = len(self._running), 0.0
        if running:
            elapsed_s = time.monotonic() - self._running_since
            before_s = max(0.0, self._costs.batch_s(running) - elapsed_s)
        undecoded = self._depth - len(self._waiting)
        before_s += self._costs.decode_s * undecoded / self._decoders
        return before_s + self._costs.total_s(self._depth + 1, self._max_batch)

    def stuck_s(self) -> float:
        """Return for how many seconds work has waited without any progress; 0 when idle."""
        with self._changed:
            if self._running:
                return time.monotonic() - self._running_since
            if self._waiting:
                return time.monotonic() - max(self._idle_at, self._waiting[0].decoded_at)
            return 0.0

    def why_ended(self) -> str | None:
        """Say why the inference thread is no more, if it ended without being asked to."""
        return None if self._closed or self._thread.is_alive() else self._end

    def close(self, timeout_s: float | None = None) -> bool:
        """Refuse new images, finish those accepted, and end the thread; waits, on any thread.

        Returns:
            Whether the thread ended within `timeout_s`.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _check_open(self) -> None:
        if self._closed:
            raise QueueClosed("The model was just replaced. Try again.", retry_after_s=0.1)
        if not self._thread.is_alive():
            raise NotReady("The engine has ended. The service must be restarted.")

    def _leave(self, place: Place) -> None:
        left_at = min(time.monotonic(), place.deadline)
        if place.probabilities is not None or left_at == place.deadline:
            late_s = left_at - place.entered_at - place.expected_s
            self._costs.observe_delay(late_s, alone=place.came_alone)
        with self._changed:
            if not place.started_at:
                self._depth -= 1
                with suppress(ValueError):  # it was not even decoded
                    self._waiting.remove(place)

    def _work(self) -> None:
        try:
            while batch := self._next():
                self._compute(batch)
                self._finish(batch)
        except BaseException as error:  # nobody may wait for a thread that is no more
            logger.critical("The inference thread ended", exc_info=True)
            self._end = type(error).__name__
            with self._changed:
                stranded = [*self._running, *self._waiting]
                self._running = []
            _fail(stranded, error)
            _deliver(stranded)

    def _next(self) -> list[Place]:
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            size = min(len(self._waiting), self._max_batch)
            batch = [self._waiting.popleft() for _ in range(size)]
            self._depth -= size
            self._running, self._running_since = batch, time.monotonic()
            for place in batch:
                place.started_at = self._running_since
            return batch

    def _compute(self, batch: Sequence[Place]) -> None:
        wanted = [place for place in batch if place.deadline >= place.started_at]
        if not wanted:
            return
        inputs = self._batch[: len(wanted)]
        try:
            np.stack([place.inputs for place in wanted if place.inputs is not None], out=inputs)
            probabilities = self._infer(inputs)  # (N, labels)
            if len(probabilities) != len(wanted):
                raise InferenceFailed(
                    f"Expected {len(wanted)} rows. Received: {len(probabilities)}"
                )
        except Exception as error:  # whatever the engine raises, its thread lives on
            logger.exception("The engine failed on a batch of %d", len(wanted))
            _fail(wanted, error)
        else:
            now = time.monotonic()
            _settle(wanted, probabilities, now)
            self._costs.observe(len(wanted), now - wanted[0].started_at)

    def _finish(self, batch: Sequence[Place]) -> None:
        with self._changed:
            self._running = []
            self._idle_at = time.monotonic()
        _deliver(batch)


def _settle(
    places: Sequence[Place], probabilities: NDArray[np.float32], finished_at: float
) -> None:
    finite = np.asarray(np.isfinite(probabilities).all(axis=1))  # (N,)
    for place, row, is_finite in zip(places, probabilities, finite, strict=True):
        place.finished_at = finished_at
        place.batch_size = len(places)
        if is_finite:
            place.probabilities = row
        else:
            place.error = NonFiniteOutput("The model answered with NaN or infinity.")


def _fail(places: Sequence[Place], cause: BaseException) -> None:
    for place in places:
        # One instance each: raising adds a traceback to it.
        place.error = InferenceFailed("The engine failed.")
        place.error.__cause__ = cause


def _deliver(places: Sequence[Place]) -> None:
    """Wake those who await the places: one wake-up of the loop per batch."""
    if places:
        with suppress(RuntimeError):  # the loop is closed only when nobody waits any more
            places[0].answered.get_loop().call_soon_threadsafe(_wake, places)


def _wake(places: Sequence[Place]) -> None:
    for place in places:
        if not place.answered.done():
            place.answered.set_result(None)
