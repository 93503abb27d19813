"""The decode threads: what is done at once, what waits, and how long it says it will take."""

import threading
from collections.abc import Iterator

import pytest

from app.decoding import DecodePool, Job, Scratch


class Clock:
    """Stands still but for the jobs."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("app.decoding.time", clock)
    return clock


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(1)
    with pool:
        yield pool


def run(pool: DecodePool, job: Job) -> None:
    """Return when `job` is done and counted."""
    done = threading.Event()
    pool.submit(job)
    pool.submit(lambda _: done.set())
    assert done.wait(20)


def hold(pool: DecodePool) -> threading.Event:
    """Occupy the only thread until the event is set."""
    begun, go = threading.Event(), threading.Event()

    def job(_: Scratch) -> None:
        begun.set()
        go.wait(20)

    pool.submit(job)
    assert begun.wait(20)
    return go


def take_100_seconds(clock: Clock, pool: DecodePool) -> None:
    def job(_: Scratch) -> None:
        clock.now_s += 100

    run(pool, job)


def test_waiting_jobs_are_expected_to_take_what_others_took(clock: Clock, pool: DecodePool) -> None:
    take_100_seconds(clock, pool)
    go = hold(pool)
    pool.submit(lambda _: None)
    expected_s = pool.expected_s()
    go.set()

    assert 10 < expected_s < 30


def test_slow_images_do_not_keep_the_next_from_being_tried(clock: Clock, pool: DecodePool) -> None:
    for _ in range(50):
        take_100_seconds(clock, pool)

    assert pool.expected_s() == 0


def test_jobs_that_were_submitted_are_finished_at_the_end() -> None:
    done: list[int] = []
    pool = DecodePool(2)
    with pool:
        for number in range(100):
            pool.submit(lambda _, number=number: done.append(number))

    assert sorted(done) == list(range(100))


def test_single_images_and_those_of_many_take_turns(pool: DecodePool) -> None:
    order: list[str] = []
    go = hold(pool)
    for _ in range(10):
        pool.submit(lambda _: order.append("many"), is_one_of_many=True)
    for _ in range(3):
        pool.submit(lambda _: order.append("single"))
    go.set()
    run(pool, lambda _: order.append("single"))

    assert "many many" not in " ".join(order[:7])
    assert order.count("single") == 4


def test_many_slow_images_delay_a_single_one_by_one_of_them(clock: Clock, pool: DecodePool) -> None:
    take_100_seconds(clock, pool)
    go = hold(pool)
    pool.submit(lambda _: None, is_one_of_many=True)
    behind_one_s = pool.expected_s()
    for _ in range(100):
        pool.submit(lambda _: None, is_one_of_many=True)
    behind_many_s = pool.expected_s()
    go.set()

    assert 0 < behind_many_s == behind_one_s


@pytest.mark.usefixtures("clock")
def test_small_files_are_left_to_one_thread() -> None:
    pool = DecodePool(2)
    done = threading.Event()
    with pool:
        go = hold(pool)
        pool.submit(lambda _: done.set(), is_small=True)
        done_by_another = done.wait(0.1)
        go.set()

    assert done.is_set()
    assert not done_by_another


def test_a_large_file_is_taken_by_another_thread_at_once() -> None:
    pool = DecodePool(2)
    done = threading.Event()
    with pool:
        go = hold(pool)
        pool.submit(lambda _: done.set())
        taken = done.wait(20)
        go.set()

    assert taken


def test_small_files_behind_a_slow_one_are_helped(clock: Clock) -> None:
    pool = DecodePool(2)
    done = threading.Event()
    with pool:
        go = hold(pool)
        pool.submit(lambda _: done.set(), is_small=True)
        waits_at_once = pool.hurry()
        early = done.wait(0.05)
        clock.now_s += 1
        waits_later = pool.hurry()
        helped = done.wait(5)  # less than the first thread is held
        done.clear()
        pool.submit(lambda _: done.set(), is_small=True)
        next_one_helped = done.wait(5)
        go.set()

    assert (waits_at_once, early) == (True, False)
    assert (waits_later, helped, next_one_helped) == (True, True, True)


def test_nothing_is_hurried_when_no_job_waits(pool: DecodePool) -> None:
    run(pool, lambda _: None)

    assert not pool.hurry()
