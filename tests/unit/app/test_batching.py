"""The micro-batch queue: order, work conservation, limits, and callers that go away."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.batching import BatchQueue, Ticket
from app.costs import CostModel
from app.errors import (
    DeadlineExpired,
    InferenceFailed,
    NonFiniteOutput,
    Overloaded,
    QueueClosed,
)

SHAPE = (3, 2)
PATIENCE_S = 20.0


class Engine:
    """Answers (first pixel, its complement); can be held so that a queue builds up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.held = False
        self.error: Exception | None = None

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

    def wait_until_busy(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE_S)


class Desk:
    """Submits images and collects finished tickets."""

    def __init__(self, engine: Engine, **options: object) -> None:
        self.done: list[Ticket] = []
        self._changed = threading.Condition()
        merged = {"max_batch": 4, "capacity": 100, "costs": CostModel(0.0, 0.0), **options}
        self.queue = BatchQueue(engine.predict, SHAPE, self._deliver, **merged)

    def _deliver(self, tickets: Sequence[Ticket]) -> None:
        with self._changed:
            self.done.extend(tickets)
            self._changed.notify_all()

    def submit(self, value: int, ticket: Ticket | None = None) -> Ticket:
        ticket = ticket or Ticket()
        self.queue.submit(np.full(SHAPE, value, np.uint8), ticket)
        return ticket

    def wait_for(self, *tickets: Ticket) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: set(tickets) <= set(self.done), PATIENCE_S)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def open_desk(engine: Engine) -> Iterator[Callable[..., Desk]]:
    desks = []

    def build(**options: object) -> Desk:
        desks.append(Desk(engine, **options))
        return desks[-1]

    yield build
    for desk in desks:
        engine.held = False
        engine.go.release(1000)
        assert desk.queue.close(PATIENCE_S)


def answer(ticket: Ticket) -> int:
    assert ticket.probabilities is not None
    return round(float(ticket.probabilities[0]) * 255)


def test_idle_engine_starts_at_once_with_one_image(engine: Engine, open_desk) -> None:
    desk = open_desk()
    ticket = desk.submit(7)
    desk.wait_for(ticket)

    assert engine.batches == [[7]]
    assert answer(ticket) == 7
    assert ticket.batch_size == 1
    assert ticket.queued_at <= ticket.started_at <= ticket.finished_at


def test_arrivals_while_busy_form_the_next_batch_up_to_its_limit(engine: Engine, open_desk) -> None:
    engine.held = True
    desk = open_desk(max_batch=4)
    tickets = [desk.submit(0)]
    engine.wait_until_busy()
    tickets += [desk.submit(value) for value in range(1, 7)]
    assert desk.queue.depth == 6
    engine.go.release(3)
    desk.wait_for(*tickets)

    assert engine.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert [answer(ticket) for ticket in tickets] == list(range(7))
    assert desk.queue.depth == 0


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.integers(0, 255), min_size=1, max_size=60),
    max_batch=st.integers(1, 9),
    threads=st.integers(1, 4),
)
def test_every_caller_gets_the_answer_to_its_own_image(
    values: list[int], max_batch: int, threads: int
) -> None:
    engine = Engine()
    desk = Desk(engine, max_batch=max_batch)
    tickets: dict[int, Ticket] = {}

    def send(start: int) -> None:
        for place in range(start, len(values), threads):
            tickets[place] = desk.submit(values[place])

    senders = [threading.Thread(target=send, args=(start,)) for start in range(threads)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert desk.queue.close(PATIENCE_S)

    assert [answer(tickets[place]) for place in range(len(values))] == values
    assert sum(map(len, engine.batches)) == len(values)
    assert max(map(len, engine.batches)) <= max_batch


def test_abandoned_images_are_not_computed_and_do_not_strand_their_mates(
    engine: Engine, open_desk
) -> None:
    engine.held = True
    desk = open_desk()
    first = desk.submit(0)
    engine.wait_until_busy()
    mates = [desk.submit(value) for value in (1, 2, 3, 4)]
    mates[0].abandoned = mates[2].abandoned = True
    engine.go.release(2)
    desk.wait_for(first, *mates)

    assert engine.batches == [[0], [2, 4]]
    assert [answer(mates[1]), answer(mates[3])] == [2, 4]
    assert mates[0].probabilities is None


def test_batch_that_everybody_left_is_skipped(engine: Engine, open_desk) -> None:
    engine.held = True
    desk = open_desk()
    first = desk.submit(0)
    engine.wait_until_busy()
    gone = desk.submit(1)
    gone.abandoned = True
    engine.go.release()
    desk.wait_for(first, gone)

    assert engine.batches == [[0]]


def test_expired_images_get_their_error_and_are_not_computed(engine: Engine, open_desk) -> None:
    engine.held = True
    desk = open_desk()
    first = desk.submit(0)
    engine.wait_until_busy()
    late = desk.submit(1, Ticket(deadline=time.monotonic() + 0.01))
    patient = desk.submit(2)
    while time.monotonic() <= late.deadline:
        pass
    engine.go.release(2)
    desk.wait_for(first, late, patient)

    assert isinstance(late.error, DeadlineExpired)
    assert engine.batches == [[0], [2]]


def test_image_that_would_miss_its_deadline_is_refused_at_once(engine: Engine, open_desk) -> None:
    engine.held = True
    desk = open_desk(costs=CostModel(fixed_s=10.0, per_image_s=0.0), max_batch=1)
    desk.submit(0)
    engine.wait_until_busy()
    started = time.monotonic()

    with pytest.raises(Overloaded) as refusal:
        desk.submit(1, Ticket(deadline=time.monotonic() + 15))
    assert time.monotonic() - started < 5
    assert 4 < refusal.value.retry_after_s <= 5
    desk.submit(2, Ticket(deadline=time.monotonic() + 25))


def test_full_queue_refuses_without_waiting(engine: Engine, open_desk) -> None:
    engine.held = True
    desk = open_desk(capacity=3)
    desk.submit(0)
    engine.wait_until_busy()
    for value in (1, 2, 3):
        desk.submit(value)

    with pytest.raises(Overloaded, match="3 waiting images"):
        desk.submit(4)


def test_images_on_their_way_to_the_queue_take_places_and_time(open_desk) -> None:
    desk = open_desk(costs=CostModel(fixed_s=10.0, per_image_s=0.0), max_batch=4, capacity=3)

    desk.queue.admit(21, ahead=2)
    with pytest.raises(Overloaded, match="3 waiting images"):
        desk.queue.admit(21, ahead=3)
    with pytest.raises(Overloaded, match="longer than this image's deadline"):
        desk.queue.admit(19, ahead=2)  # those ahead are a batch, and it is in the next


def test_engine_failure_reaches_every_caller_and_the_next_batch_works(
    engine: Engine, open_desk
) -> None:
    desk = open_desk()
    cause = engine.error = RuntimeError("no")
    failed = desk.submit(1)
    desk.wait_for(failed)
    engine.error = None
    fine = desk.submit(2)
    desk.wait_for(fine)

    assert isinstance(failed.error, InferenceFailed)
    assert failed.error.__cause__ is cause
    assert answer(fine) == 2


def test_only_rows_that_are_not_finite_fail() -> None:
    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = np.full((len(images), 2), 0.5, np.float32)
        answers[images[:, 0, 0] == 13] = np.nan
        return answers

    done: list[Ticket] = []
    queue = BatchQueue(predict, SHAPE, done.extend, max_batch=8, capacity=8)
    for value in (12, 13, 14):
        queue.submit(np.full(SHAPE, value, np.uint8), Ticket())
    assert queue.close(PATIENCE_S)

    assert [type(ticket.error) for ticket in done] == [type(None), NonFiniteOutput, type(None)]


def test_engine_that_answers_too_few_rows_is_a_failure() -> None:
    done: list[Ticket] = []
    queue = BatchQueue(
        lambda images: np.ones((len(images) - 1, 2), np.float32),
        SHAPE,
        done.extend,
        max_batch=8,
        capacity=8,
    )
    queue.submit(np.zeros(SHAPE, np.uint8), Ticket())
    assert queue.close(PATIENCE_S)

    assert isinstance(done[0].error, InferenceFailed)


def test_closing_finishes_what_was_accepted_and_refuses_more(open_desk) -> None:
    desk = open_desk(max_batch=2)
    tickets = [desk.submit(value) for value in range(9)]
    assert desk.queue.close(PATIENCE_S)

    assert [answer(ticket) for ticket in tickets] == list(range(9))
    with pytest.raises(QueueClosed):
        desk.submit(1)


def test_queue_knows_for_how_long_it_is_stuck(engine: Engine, open_desk) -> None:
    engine.held = True
    desk = open_desk()
    assert desk.queue.stuck_s() == 0
    desk.submit(1)
    engine.wait_until_busy()
    first = desk.queue.stuck_s()
    second = desk.queue.stuck_s()

    assert 0 < first < second


def test_expected_time_counts_the_running_batch_and_the_full_ones_ahead(
    engine: Engine, open_desk
) -> None:
    engine.held = True
    desk = open_desk(costs=CostModel(fixed_s=100.0, per_image_s=1.0), max_batch=2)
    assert desk.queue.expected_s() == pytest.approx(101)
    desk.submit(0)
    engine.wait_until_busy()
    desk.submit(1)

    assert desk.queue.expected_s() == pytest.approx(101 + 102, abs=5)
    assert desk.queue.expected_s(ahead=1) == pytest.approx(101 + 102 + 101, abs=5)
