"""Plain lines in a pipe: never silent for long, and honest about the time that is left."""

import io
import re
import threading
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from training import progress
from training.progress import Progress, Reporter


class Pipe(io.StringIO):
    """Remembers when a line came, and wakes whoever waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self._more = threading.Condition()

    def write(self, text: str) -> int:
        with self._more:
            if "\n" in text:
                self.times.append(time.monotonic())
                self._more.notify_all()
            return super().write(text)

    def wait_for(self, lines: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.times) >= lines, timeout=300)

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


@pytest.fixture
def reporter(pipe: Pipe) -> Reporter:
    return Reporter(Console(file=pipe, force_terminal=False, soft_wrap=True))


def test_no_silence_lasts_ten_seconds():
    poll_seconds = 0.5
    assert progress._PLAIN_INTERVAL_SECONDS + 2 * poll_seconds < 10


@pytest.mark.parametrize("arguments", [("stage", 10), ("share", 10), ("waiting",)])
def test_it_speaks_up_by_itself_again_and_again(pipe, reporter, arguments, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SECONDS", 0.05)
    kind, *total = arguments
    with getattr(reporter, kind)("Reading", *total):
        pipe.wait_for(2)
    assert all(line.startswith("Reading: ") for line in pipe.lines)
    before = len(pipe.lines)
    with reporter.waiting("More"):
        pipe.wait_for(before + 1)  # the one before has ended: nothing else speaks
    assert pipe.lines[before].startswith("More: ")


def test_it_does_not_speak_where_something_was_just_said(pipe, reporter, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SECONDS", 1000.0)
    with reporter.stage("Reading", 4) as advance:
        reporter.say("something else")
        advance(4)
    assert pipe.lines[0] == "something else"
    assert re.fullmatch(r"Reading: 4 images in [\d.]+ s, \d+ images/s", pipe.lines[1])


def test_threads_can_say_things_at_once(pipe, reporter):
    threads = [
        threading.Thread(target=lambda k=k: [reporter.say(f"{k} " * 20) for _ in range(20)])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.strip() for line in pipe.lines) == sorted(
        " ".join([str(k)] * 20) for k in range(4) for _ in range(20)
    )


def seconds(text: str) -> float | None:
    """Return the time that is said to be left."""
    left = re.search(r"about (?:(\d+) h )?(?:(\d+) min)? ?(?:([\d.]+) s)? left", text)
    if left is None:
        return None
    hours, minutes, rest = (float(part or 0) for part in left.groups())
    return 3600 * hours + 60 * minutes + rest


@pytest.mark.parametrize("total_seconds", [20, 300, 20_000])
@pytest.mark.parametrize("compiling_seconds", [0, 15])
def test_the_time_left_is_within_a_factor_of_two(total_seconds, compiling_seconds, monkeypatch):
    """Of a steady process, whose first step may take long; an estimate comes soon."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    steps = 1000
    shown, first = Progress(steps), None
    assert seconds(str(shown)) is None
    now.seconds = float(compiling_seconds)
    for step in range(1, steps):
        now.seconds += total_seconds / steps
        shown.advance(1)
        left = seconds(str(shown))
        if left is None:
            continue
        first = first or now.seconds - compiling_seconds
        truth = total_seconds * (steps - step) / steps
        assert truth / 2 - 0.1 <= left <= 2 * truth + 0.1
    assert first is not None and first <= max(10, 3 * total_seconds / steps)


def test_more_than_everything_is_everything():
    shown = Progress(10)
    shown.advance(25)
    assert str(shown).startswith("100 % done")
    assert str(Progress(0)) == "0 % done"
