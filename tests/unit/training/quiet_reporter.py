"""A reporter that prints nothing."""

import time

from training.progress import Reporter


class Quiet(Reporter):
    """Keeps what would have been printed, whichever thread says it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self._said = time.monotonic()  # else the thread that breaks silences never rests
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")

    def ask(self, question: str) -> bool:
        self.lines.append(question)
        return False
