"""Encoded bytes → pixels (decode threads) → batch queue → labelled result. Nothing of HTTP."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.batching import Ticket
from app.decoding import HURRY_S, DecodePool, Scratch
from app.errors import DeadlineExpired
from app.served import ServedModel
from model_store.preprocessing import preprocess

T = TypeVar("T")

# One batch request keeps at most this share of a full batch in the queue, so that single requests
# find room in every batch.
BATCH_SHARE = 0.5

# A file up to this size is small; the pool looks after the few that take long all the same.
SMALL_BYTES = 4096

# For whom a place is kept no longer: their bodies come slowly, or were no images.
_SECONDS_TO_ARRIVE = 0.02


# Gives the (H, W) pixels of one image, either written into the buffer it is given or its own.
# Called once, on a decode thread, so that pixels exist only while they are on their way.
Source = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Timings:
    """When one image passed from stage to stage, in `time.monotonic()` seconds."""

    accepted_at: float
    decode_at: float
    queued_at: float
    started_at: float
    finished_at: float

    @property
    def decode_ms(self) -> float:
        """Milliseconds from bytes to pixels."""
        return 1000 * (self.queued_at - self.decode_at)

    @property
    def queue_ms(self) -> float:
        """Milliseconds of waiting, for a decode thread and for the engine."""
        decode_wait_s = self.decode_at - self.accepted_at
        return 1000 * (decode_wait_s + self.started_at - self.queued_at)

    @property
    def inference_ms(self) -> float:
        """Milliseconds in the engine, with the whole batch."""
        return 1000 * (self.finished_at - self.started_at)


@dataclass(frozen=True, slots=True)
class Answer:
    """Probabilities of one image, with the model that computed them."""

    served: ServedModel
    probabilities: NDArray[np.float32]  # (labels,), in the order of served.labels
    timings: Timings
    batch_size: int


@dataclass(slots=True, eq=False, kw_only=True)
class _Job(Ticket):
    """A ticket with what the decode threads need, and the future its caller awaits."""

    served: ServedModel
    source: Source | None
    future: asyncio.Future[None]
    accepted_at: float
    decode_at: float = 0.0

    def answer(self) -> Answer:
        probabilities = self.probabilities
        if probabilities is None:
            raise self.error or DeadlineExpired("The deadline passed while the image waited.")
        timings = Timings(
            accepted_at=self.accepted_at,
            decode_at=self.decode_at,
            queued_at=self.queued_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )
        return Answer(self.served, probabilities, timings, self.batch_size)


class Serving:
    """Answers images with probabilities.

    Args:
        pool: decode threads, shared by all models.
        deadline_s: from the complete upload of an image to its result.
        stuck_s: how long after the deadline an image that is being computed may still take.
        max_pixels: what an image's header may announce.
    """

    def __init__(
        self, pool: DecodePool, *, deadline_s: float, stuck_s: float, max_pixels: int
    ) -> None:
        self._pool = pool
        self._deadline_s = deadline_s
        self._stuck_s = stuck_s
        self._max_pixels = max_pixels
        self._hurry: asyncio.TimerHandle | None = None
        self._let_in: deque[float] = deque()  # when; those whose image is not here yet

    def admit(self, served: ServedModel) -> None:
        """Refuse what would miss its deadline; cheap, so it is asked before the body is read.

        Raises:
            Overloaded: with the seconds after which the queue will be short enough.
        """
        self._admit(served, ahead=self._pool.backlog)

    def let_in(self, served: ServedModel) -> None:
        """Refuse as `admit` does, or expect an image soon.

        Of all that arrive at the same moment, the next then does not find the same place free.
        """
        now = time.monotonic()
        while self._let_in and self._let_in[0] < now - _SECONDS_TO_ARRIVE:
            self._let_in.popleft()
        self._admit(served, ahead=self._pool.backlog + len(self._let_in))
        self._let_in.append(now)

    async def predict(self, served: ServedModel, data: bytes) -> Answer:
        """Return the probabilities of one encoded image.

        Raises:
            ImageError: the bytes cannot become pixels.
            Overloaded, DeadlineExpired: there was no time for it.
            ComputeError: the engine failed.
        """
        self.admit(served)
        is_small = len(data) <= SMALL_BYTES
        return await self._run(served, self.decoding(served, data), is_small=is_small)

    async def predict_many(
        self, served: ServedModel, sources: Sequence[Source]
    ) -> list[Answer | Exception]:
        """Return one answer or error per source of pixels, in order.

        Each image's deadline begins when its turn comes.

        Raises:
            Overloaded: there is no time even for the first.
        """
        self.admit(served)
        window = asyncio.Semaphore(max(1, round(served.max_batch * BATCH_SHARE)))

        async def one(source: Source) -> Answer | Exception:
            async with window:
                try:
                    return await self._run(served, source, is_one_of_many=True)
                except Exception as error:  # one bad image must not take the others' answers
                    return error

        with served.lease():
            return await asyncio.gather(*map(one, sources))

    def decoding(self, served: ServedModel, data: bytes) -> Source:
        """Return the pixels of an encoded image as a source."""
        return partial(_preprocess, data, served, self._max_pixels)

    def pixels(self, served: ServedModel, data: bytes) -> NDArray[np.uint8]:
        """Return the (H, W) pixels of an encoded image. Slow; not for the event loop's thread."""
        return preprocess(data, served.spec, max_pixels=self._max_pixels)

    async def in_pool(self, work: Callable[[], T]) -> T:
        """Return what `work` does on a decode thread, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job(_: Scratch) -> None:
            try:
                _settle_on_loop(future, future.set_result, work())
            except Exception as error:  # the caller gets it, whatever it is
                _settle_on_loop(future, future.set_exception, error)

        self._pool.submit(job)
        return await future

    def _admit(self, served: ServedModel, ahead: int) -> None:
        # Decoding and inference need the same processors: their times add up.
        served.queue.admit(self._deadline_s - self._pool.expected_s(), ahead=ahead)

    async def _run(
        self,
        served: ServedModel,
        source: Source,
        *,
        is_small: bool = False,
        is_one_of_many: bool = False,
    ) -> Answer:
        if self._let_in:
            self._let_in.popleft()
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        job = _Job(
            served=served,
            source=source,
            future=loop.create_future(),
            accepted_at=now,
            deadline=now + self._deadline_s,
        )
        with served.lease():
            decode = partial(self._decode, job)
            self._pool.submit(decode, is_small=is_small, is_one_of_many=is_one_of_many)
            if is_small and self._hurry is None:
                self._hurry_later()
            timer = loop.call_later(self._deadline_s, self._expire, job)
            try:
                await job.future
            finally:
                timer.cancel()
                job.abandoned = True
        return job.answer()

    def _hurry_later(self) -> None:
        self._hurry = asyncio.get_running_loop().call_later(HURRY_S, self._hurry_pool)

    def _hurry_pool(self) -> None:
        self._hurry = None
        if self._pool.hurry():
            self._hurry_later()

    def _decode(self, job: _Job, scratch: Scratch) -> None:
        """Run on a decode thread; every path either queues the pixels or settles the job."""
        job.decode_at = time.monotonic()
        if job.abandoned:
            return
        try:
            served, source, job.source = job.served, job.source, None
            if source is not None:
                pixels = source(scratch.pixels(served.shape))
                served.queue.submit(pixels, job)
        except Exception as error:  # the caller gets it, whatever it is
            _settle_on_loop(job.future, job.future.set_exception, error)

    def _expire(self, job: _Job) -> None:
        if job.started_at and not job.future.done():
            # It is being computed: a late answer is worth more than none, unless it is stuck.
            asyncio.get_running_loop().call_later(self._stuck_s, _give_up, job)
        else:
            _give_up(job)


def deliver(tickets: Sequence[Ticket]) -> None:
    """Hand finished tickets to the callers that await them: one wake-up of the loop per batch."""
    jobs = [ticket for ticket in tickets if isinstance(ticket, _Job)]
    if jobs:
        with suppress(RuntimeError):  # the loop is closed only when nobody waits any more
            jobs[0].future.get_loop().call_soon_threadsafe(_resolve, jobs)


def _preprocess(
    data: bytes, served: ServedModel, max_pixels: int, out: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    pixels = preprocess(data, served.spec, max_pixels=max_pixels, out=out)
    served.observe(pixels)
    return pixels


def _resolve(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_result(None)


def _settle_on_loop(
    future: asyncio.Future[Any], settle: Callable[[Any], None], value: object
) -> None:
    def unless_done() -> None:
        if not future.done():
            settle(value)

    with suppress(RuntimeError):  # the loop is closed only when nobody waits any more
        future.get_loop().call_soon_threadsafe(unless_done)


def _give_up(job: _Job) -> None:
    if not job.future.done():
        job.future.set_exception(DeadlineExpired("The deadline passed while the image waited."))
