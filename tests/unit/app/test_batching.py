"""The micro-batch queue: order, work conservation, limits, and callers that go away."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from patience import PATIENCE_S

from app.batching.cost_model import CostModel
from app.batching.queue import BatchQueue
from app.errors import (
    DeadlineExpired,
    InferenceFailed,
    NonFiniteOutput,
    NotReady,
    Overloaded,
    QueueClosed,
)

SHAPE = (3, 2)
NEVER = float("inf")

Open = Callable[..., BatchQueue]


class Engine:
    """Answers (first pixel, its complement); can be held so that a queue builds up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.held = False
        self.error: BaseException | None = None

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        first = images[:, 0, 0]
        self.batches.append(first.tolist())
        self.entered.release()
        if self.held:
            assert self.go.acquire(timeout=PATIENCE_S)
        if self.error is not None:
            raise self.error
        shares = first.astype(np.float32) / 255
        return np.stack([shares, 1 - shares], axis=1)  # (N, 2)

    async def wait_until_busy(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE_S)


def queue_of(engine: Engine, **options: object) -> BatchQueue:
    merged = {"max_batch": 4, "capacity": 100, "costs": CostModel(0.0, 0.0), **options}
    return BatchQueue(engine.predict, SHAPE, **merged)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def open_queue(engine: Engine) -> Iterator[Open]:
    queues = []

    def build(**options: object) -> BatchQueue:
        queues.append(queue_of(engine, **options))
        return queues[-1]

    yield build
    for queue in queues:
        engine.held = False
        engine.go.release(1000)
        assert queue.close(PATIENCE_S)


async def ask(queue: BatchQueue, value: int, deadline: float = NEVER) -> int:
    """Send one image through the queue; return the value that its answer stands for."""
    with queue.place(deadline) as place:
        probabilities = await place.compute(np.full(SHAPE, value, np.uint8))
    return round(float(probabilities[0]) * 255)


async def ask_too_late(queue: BatchQueue, value: int, spare_s: float = 0.0) -> None:
    """Enter the queue in time, and come to compute when the deadline is `spare_s` away."""
    with queue.place(NEVER) as place:
        place.deadline = time.monotonic() + spare_s
        await place.compute(np.full(SHAPE, value, np.uint8))


async def send(queue: BatchQueue, value: int, deadline: float = NEVER) -> asyncio.Task[int]:
    """Let one image wait in the queue."""
    depth = queue.depth
    task = asyncio.create_task(ask(queue, value, deadline))
    while queue.depth == depth and not task.done():
        await asyncio.sleep(0)
    return task


async def occupy(queue: BatchQueue, engine: Engine) -> asyncio.Task[int]:
    """Hold the engine with the image 0."""
    engine.held = True
    task = asyncio.create_task(ask(queue, 0))
    await engine.wait_until_busy()
    return task


async def test_idle_engine_starts_at_once_with_one_image(engine, open_queue):
    with open_queue().place(NEVER) as place:
        await place.compute(np.full(SHAPE, 7, np.uint8))

    assert engine.batches == [[7]]
    assert place.batch_size == 1
    assert place.entered_at <= place.decoded_at <= place.started_at <= place.finished_at


async def test_arrivals_while_busy_form_the_next_batch_up_to_its_limit(engine, open_queue):
    queue = open_queue(max_batch=4)
    tasks = [await occupy(queue, engine)]
    tasks += [await send(queue, value) for value in range(1, 7)]
    assert queue.depth == 6
    engine.go.release(3)

    assert await asyncio.gather(*tasks) == list(range(7))
    assert engine.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert queue.depth == 0


@settings(max_examples=25)
@given(values=st.lists(st.integers(0, 255), min_size=1, max_size=60), max_batch=st.integers(1, 9))
def test_every_caller_gets_the_answer_to_its_own_image(values, max_batch):
    engine = Engine()
    queue = queue_of(engine, max_batch=max_batch)

    async def ask_all() -> list[int]:
        return await asyncio.gather(*(ask(queue, value) for value in values))

    assert asyncio.run(ask_all()) == values
    assert queue.close(PATIENCE_S)
    assert sum(map(len, engine.batches)) == len(values)
    assert max(map(len, engine.batches)) <= max_batch


async def test_cancelled_callers_are_not_computed_and_do_not_strand_their_mates(engine, open_queue):
    queue = open_queue()
    first = await occupy(queue, engine)
    mates = [await send(queue, value) for value in (1, 2, 3, 4)]
    for mate in (mates[0], mates[2]):
        mate.cancel()
    await asyncio.wait((mates[0], mates[2]))
    assert queue.depth == 2
    engine.go.release(2)

    assert await asyncio.gather(first, mates[1], mates[3]) == [0, 2, 4]
    assert engine.batches == [[0], [2, 4]]


async def test_caller_that_leaves_while_it_is_computed_hurts_nobody(engine, open_queue):
    queue = open_queue()
    first = await occupy(queue, engine)
    second = await send(queue, 1)
    first.cancel()
    engine.go.release(2)

    assert await second == 1
    assert queue.depth == 0


async def test_expired_images_get_their_error_and_are_not_computed(engine, open_queue):
    queue = open_queue()
    first = await occupy(queue, engine)
    patient = await send(queue, 2)
    with pytest.raises(DeadlineExpired):
        await ask_too_late(queue, 1)
    engine.go.release(2)

    assert await asyncio.gather(first, patient) == [0, 2]
    assert engine.batches == [[0], [2]]


async def test_an_image_whose_deadline_passed_is_not_computed(engine, open_queue):
    queue = open_queue()
    with pytest.raises(DeadlineExpired):
        await ask_too_late(queue, 1, spare_s=-1)

    assert await ask(queue, 2) == 2
    assert engine.batches == [[2]]


async def test_an_engine_that_is_stuck_is_not_waited_for(engine, open_queue):
    queue = open_queue(patience_s=0.05)
    engine.held = True

    with pytest.raises(DeadlineExpired):
        await ask_too_late(queue, 5, spare_s=1)
    assert engine.batches == [[5]]


async def test_image_that_would_miss_its_deadline_is_refused_at_once(engine, open_queue):
    queue = open_queue(costs=CostModel(fixed_s=1000.0, per_image_s=0.0), max_batch=1)
    first = await occupy(queue, engine)

    for refuse in (queue.check, lambda deadline: queue.place(deadline).__enter__()):
        with pytest.raises(Overloaded) as refusal:
            refuse(time.monotonic() + 1500)
        assert 0 < refusal.value.retry_after_s <= 500
    second = await send(queue, 2, time.monotonic() + 2500)
    engine.go.release(2)

    assert await asyncio.gather(first, second) == [0, 2]


async def test_full_queue_refuses_without_waiting(engine, open_queue):
    queue = open_queue(capacity=3)
    tasks = [await occupy(queue, engine)]
    tasks += [await send(queue, value) for value in (1, 2, 3)]

    with pytest.raises(Overloaded, match="3 waiting images"):
        await ask(queue, 4)
    engine.go.release(2)
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3]


async def test_places_are_counted_so_that_arrivals_together_share_none(open_queue):
    queue = open_queue(costs=CostModel(fixed_s=1000.0, per_image_s=0.0), max_batch=2, capacity=3)
    deadline = time.monotonic() + 2500
    with queue.place(deadline), queue.place(deadline):
        with queue.place(deadline), pytest.raises(Overloaded, match="3 waiting images"):
            queue.check(NEVER)
        with pytest.raises(Overloaded, match="longer than this image's deadline"):
            queue.check(time.monotonic() + 1500)  # those before it are a batch, it is in the next
        queue.check(deadline)

    assert queue.depth == 0


async def test_images_that_are_still_to_be_decoded_take_time(open_queue):
    costs = CostModel(0.0, 0.0)
    queue = open_queue(costs=costs, decoders=2)
    for _ in range(100):
        costs.observe_decoding(1000.0)
    queue.check(time.monotonic() + 900)  # slow images do not keep the next from being tried

    with queue.place(NEVER), queue.place(NEVER):
        assert queue.expected_s() == pytest.approx(1000, rel=0.01)
        with pytest.raises(Overloaded):
            queue.check(time.monotonic() + 900)


async def test_images_later_than_expected_keep_others_out_until_one_that_comes_alone_is_not(
    open_queue,
):
    queue = open_queue()
    deadline = time.monotonic() + 1000
    with queue.place(deadline) as place:
        place.entered_at -= 2000  # as on a host that is busy with refusing others
        place.probabilities = np.ones(1, np.float32)

    with queue.place(deadline) as place:
        with pytest.raises(Overloaded):
            queue.check(deadline)
        place.probabilities = np.ones(1, np.float32)
    with queue.place(deadline):
        queue.check(deadline)


async def test_engine_failure_reaches_every_caller_and_the_next_batch_works(engine, open_queue):
    queue = open_queue()
    cause = engine.error = RuntimeError("no")
    with pytest.raises(InferenceFailed) as failure:
        await ask(queue, 1)
    engine.error = None

    assert failure.value.__cause__ is cause
    assert await ask(queue, 2) == 2


async def test_thread_that_is_killed_strands_nobody_and_says_so(engine, open_queue):
    queue = open_queue()
    tasks = [await occupy(queue, engine), await send(queue, 1)]
    assert queue.why_ended() is None
    engine.error = SystemExit("killed")
    engine.go.release()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    queue._thread.join(PATIENCE_S)

    assert [type(outcome) for outcome in outcomes] == [InferenceFailed, InferenceFailed]
    assert queue.why_ended() == "SystemExit"
    with pytest.raises(NotReady):
        queue.check(NEVER)


async def test_only_rows_that_are_not_finite_fail(engine):
    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = engine.predict(images)
        answers[images[:, 0, 0] == 13] = np.nan
        return answers

    queue = BatchQueue(predict, SHAPE, max_batch=8, capacity=8)
    first = await occupy(queue, engine)
    tasks = [await send(queue, value) for value in (12, 13, 14)]
    engine.go.release(2)
    outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert queue.close(PATIENCE_S)

    assert engine.batches == [[0], [12, 13, 14]]
    assert [outcomes[place] for place in (0, 1, 3)] == [0, 12, 14]
    assert isinstance(outcomes[2], NonFiniteOutput)


async def test_engine_that_answers_too_few_rows_is_a_failure():
    queue = BatchQueue(
        lambda images: np.ones((len(images) - 1, 2), np.float32), SHAPE, max_batch=8, capacity=8
    )
    with pytest.raises(InferenceFailed):
        await ask(queue, 0)
    assert queue.close(PATIENCE_S)


async def test_closing_finishes_what_was_accepted_and_refuses_more(engine, open_queue):
    queue = open_queue(max_batch=2)
    tasks = [await occupy(queue, engine)]
    tasks += [await send(queue, value) for value in range(1, 9)]
    closing = asyncio.create_task(asyncio.to_thread(queue.close, PATIENCE_S))
    engine.go.release(9)

    assert await asyncio.gather(*tasks) == list(range(9))
    assert await closing
    assert queue.why_ended() is None
    with pytest.raises(QueueClosed):
        queue.check(NEVER)


async def test_queue_knows_for_how_long_it_is_stuck(engine, open_queue):
    queue = open_queue()
    assert queue.stuck_s() == 0
    first = await occupy(queue, engine)
    early, late = queue.stuck_s(), queue.stuck_s()
    engine.go.release()
    await first

    assert 0 < early < late


async def test_expected_time_counts_the_running_batch_and_the_full_ones_ahead(engine, open_queue):
    queue = open_queue(costs=CostModel(fixed_s=10_000.0, per_image_s=1000.0), max_batch=2)
    assert queue.expected_s() == pytest.approx(11_000)
    tasks = [await occupy(queue, engine), await send(queue, 1)]
    assert queue.expected_s() == pytest.approx(11_000 + 12_000, abs=500)
    tasks.append(await send(queue, 2))
    assert queue.expected_s() == pytest.approx(11_000 + 12_000 + 11_000, abs=500)
    engine.go.release(2)

    assert await asyncio.gather(*tasks) == [0, 1, 2]
