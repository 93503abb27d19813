"""A real server of object storage, which a test starts, freezes and kills."""

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from service_process import free_port

PATIENCE_S = 120.0
BUCKET = "models"


@dataclass
class ObjectServer:
    """The server, with its data in a folder, so that it comes back as it was."""

    scheme: ClassVar[str]

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def environment(self) -> dict[str, str]:
        """Return how the client finds it."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it answers."""
        raise NotImplementedError

    def launch(self, *command: str | Path) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(list(command), stdout=log, stderr=log)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-2000:]

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
