"""Several worker processes on one port, under uvicorn's supervisor."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

from uvicorn import Config, Server
from uvicorn.supervisors import multiprocess

from app.http.server import DrainingServer, refuse_new_connections


class Worker(multiprocess.Process):
    """uvicorn's worker process, with the server that loses no client when it stops."""

    @property
    def server(self) -> Server:
        """The server, made in the worker on first use."""
        if self._server is None:
            self._server = DrainingServer(self.config)
        return self._server

    def always_pong(self) -> None:
        """Answer the supervisor until it hangs up, which is no error."""
        with suppress(EOFError, OSError):
            super().always_pong()


class Supervisor(multiprocess.Multiprocess):
    """uvicorn's supervisor of worker processes, but SIGHUP reloads models, not processes.

    Workers leave their metrics in a shared folder, so that any of them can answer for all.
    """

    def __init__(self, config: Config, sockets: list[socket], *, drain_seconds: float) -> None:
        super().__init__(config, sockets)
        self._drain_seconds = drain_seconds

    def run(self) -> None:
        """Serve until a signal says stop."""
        # uvicorn offers no other way to choose the server that its workers run.
        multiprocess.Process = Worker  # type: ignore[misc]
        with TemporaryDirectory(prefix="halftone-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            super().run()

    def terminate_all(self) -> None:
        """Stop the workers, and when they have drained, let nobody connect any more."""
        super().terminate_all()
        drained = time.monotonic() + self._drain_seconds
        while time.monotonic() < drained and any(p.process.is_alive() for p in self.processes):
            time.sleep(min(0.1, self._drain_seconds))
        for listener in self.sockets:
            refuse_new_connections(listener)
            # Leaves listening to the workers, so that the last of them knows who still waits.
            listener.close()

    def keep_subprocess_alive(self) -> None:
        """Forget the gauges of workers that died, then start new ones."""
        for process in self.processes:
            if process.exitcode is not None and process.pid is not None:
                forget_gauges(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), process.pid)
        super().keep_subprocess_alive()

    def handle_hup(self) -> None:
        """Pass SIGHUP on to every worker."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def forget_gauges(folder: Path, pid: int) -> None:
    """Remove what a dead worker said of the present; its counts stay.

    As `prometheus_client.multiprocess.mark_process_dead` does, which the supervisor cannot import:
    it would take itself for a worker.
    """
    for path in folder.glob(f"gauge_live*_{pid}.db"):
        path.unlink(missing_ok=True)
