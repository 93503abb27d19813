"""Several worker processes on one port, under uvicorn's supervisor."""

import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

from uvicorn.supervisors import Multiprocess


class Supervisor(Multiprocess):
    """uvicorn's supervisor of worker processes, but SIGHUP reloads models, not processes.

    Workers leave their metrics in a shared folder, so that any of them can answer for all.
    """

    def run(self) -> None:
        """Serve until a signal says stop."""
        with TemporaryDirectory(prefix="halftone-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            super().run()

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
