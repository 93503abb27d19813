"""Progress on a terminal, plain lines in a pipe; always on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_PLAIN_INTERVAL_SECONDS = 15.0


class Reporter:
    """Tells a person what is going on."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print one line that should be read."""
        self._console.print(f"warning: {text}", style="yellow", markup=False)

    def ask(self, question: str) -> bool:
        """Ask for a yes on a terminal; elsewhere the answer is no."""
        if not self._console.is_terminal:
            return False
        return self._console.input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    @contextmanager
    def stage(
        self, title: str, total: int, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        """Show progress towards `total`; yields the function that advances it."""
        if self._console.is_terminal:
            with self._bar(unit) as progress:
                task = progress.add_task(title, total=total)
                yield lambda count: progress.advance(task, count)
        else:
            plain = _PlainProgress(self.say, title, total, unit)
            yield plain.advance
            plain.finish()

    def _bar(self, unit: str) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(unit),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )


class _PlainProgress:
    def __init__(self, say: Callable[[str], None], title: str, total: int, unit: str) -> None:
        self._say, self._title, self._total, self._unit = say, title, total, unit
        self._done = 0
        self._started = self._told = time.monotonic()
        self._first: tuple[float, int] | None = (
            None  # what compiles first tells nothing of the rest
        )

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._first is None:
            self._first = now, self._done
        elif now - self._told >= _PLAIN_INTERVAL_SECONDS and self._done < self._total:
            self._told = now
            since, before = self._first
            left = (now - since) * (self._total - self._done) / (self._done - before)
            self._say(f"{self._title}: {self._done} of {self._total}, {duration(left)} left")

    def finish(self) -> None:
        seconds = max(time.monotonic() - self._started, 1e-3)
        rate = f"{self._done / seconds:.0f} {self._unit}/s"
        self._say(f"{self._title}: {self._done} {self._unit} in {duration(seconds)}, {rate}")


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.0f} {self._unit}/s")


def duration(seconds: float) -> str:
    """Return `seconds` for people: 8.4 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
