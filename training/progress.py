"""Progress on a terminal, plain lines in a pipe; always on standard error."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

_PLAIN_INTERVAL_SECONDS = 8.0
_SELDOM_SECONDS = 5.0
_FIRST_ESTIMATE_SECONDS = 4.0  # of work: what is compiled first tells nothing of the rest


class Reporter:
    """Tells a person what is going on; never silent for ten seconds while something does."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(
            stderr=True, highlight=False, soft_wrap=True, emoji=False
        )
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line."""
        self._said = time.monotonic()
        self._console.print(text, markup=False)

    def say_at_times(self, text: str, *, always: bool) -> None:
        """Print one line, if none was printed in the last seconds; or `always`."""
        if always or time.monotonic() - self._said >= _SELDOM_SECONDS:
            self.say(text)

    def warn(self, text: str) -> None:
        """Print one line that should be read."""
        self._said = time.monotonic()
        self._console.print(f"warning: {text}", style="yellow", markup=False)

    def ask(self, question: str) -> bool:
        """Ask for a yes on a terminal; elsewhere the answer is no."""
        if not self._console.is_terminal:
            return False
        return self._console.input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show progress towards `total` images; yields the function that advances it."""
        progress = Progress(total, "images")
        with self._showing(title, progress):
            yield progress.advance
        if not self._console.is_terminal:
            seconds = duration(progress.seconds)
            self.say(f"{title}: {progress.done} images in {seconds}, {progress.rate}")

    @contextmanager
    def share(self, title: str, total: int) -> Iterator["Progress"]:
        """Show which share of `total`, in whatever unit, is done."""
        progress = Progress(total)
        with self._showing(title, progress):
            yield progress

    @contextmanager
    def waiting(self, title: str) -> Iterator[None]:
        """Show that something goes on whose end is not known."""
        with self._showing(title, Progress(None)):
            yield

    @contextmanager
    def _showing(self, title: str, progress: "Progress") -> Iterator[None]:
        if not self._console.is_terminal:
            with self._speaking_up(title, progress):
                yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
        with Bar(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(title, total=progress.total, said=progress)
            progress.told = lambda: bar.update(task, completed=progress.done)
            yield

    @contextmanager
    def _speaking_up(self, title: str, progress: "Progress") -> Iterator[None]:
        """Say how far it is whenever nothing was said for a while."""
        ended = threading.Event()

        def speak() -> None:
            while not ended.wait(0.5):
                if time.monotonic() - self._said >= _PLAIN_INTERVAL_SECONDS:
                    self.say(f"{title}: {progress}")

        speaker = threading.Thread(target=speak, daemon=True)
        speaker.start()
        try:
            yield
        finally:
            ended.set()
            speaker.join()


class Progress:
    """How much of something is done, and how long the rest takes."""

    def __init__(self, total: int | None, unit: str = "") -> None:
        self.total, self.done, self.unit = total, 0, unit
        self.told: Callable[[], object] = lambda: None  # called after every advance
        self._started = time.monotonic()
        self._first: tuple[float, int] | None = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> str:
        """How fast it is on average."""
        return f"{self.done / max(self.seconds, 1e-3):.0f} {self.unit}/s"

    def advance(self, count: int) -> None:
        """Count `count` more as done; fewer, where it is negative."""
        self.done += count
        if self._first is None:
            self._first = time.monotonic(), self.done
        self.told()

    def __str__(self) -> str:
        """Return how far it is, and what is left where that can be told."""
        if self.total is None:
            return f"{duration(self.seconds)} so far"
        text = f"{min(100 * self.done // max(self.total, 1), 100)} % done"
        if self.unit:
            text = f"{self.done} of {self.total} {self.unit}, {self.rate}"
        since, before = self._first or (time.monotonic(), 0)
        elapsed, gained = time.monotonic() - since, self.done - before
        if elapsed < _FIRST_ESTIMATE_SECONDS or not gained:
            return text
        left = elapsed * max(self.total - self.done, 0) / gained
        return f"{text}, about {duration(left)} left"


def duration(seconds: float) -> str:
    """Return `seconds` for people: 8.4 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
