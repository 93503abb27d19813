"""Trainings side by side, in processes of their own that tell how far they are.

Small networks do not gain from a second thread; two of them side by side do. And what TensorFlow
keeps until a process ends (2.8 GB at 960 x 480 with every pixel) ends with the process.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from training.errors import TrainingInterrupted, TrainingProcessDied
from training.learn.task import EpochEnd, Floats, Learned, Listener, Task

T = TypeVar("T")

_LAST_WORDS_SECONDS = 2.0
_NEEDS_LESS = "A larger --pool, or a smaller --height, --width or --hidden, needs less."

# Of a worker process: the queue to its parent, and the parent's wish that it ends.
_told: Any = None
_stop: Any = None


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes that train; what they tell goes to a listener."""

    executor: ProcessPoolExecutor
    stop: Any  # a multiprocessing Event

    def trials(self, tasks: Sequence[Task]) -> list[Floats]:
        """Return the validation logits after a short run of each task, in order.

        Raises:
            TrainingInterrupted: Ctrl-C.
        """
        futures = [self.executor.submit(_trial, task) for task in tasks]
        try:
            return [_result(future) for future in futures]
        except KeyboardInterrupt:
            self.stop.set()
            self.executor.shutdown(cancel_futures=True)
            raise TrainingInterrupted(
                "Stopped while the settings were being chosen; nothing to keep."
            ) from None

    def train(self, task: Task, folder: Path) -> Learned:
        """Train the network that is published; Ctrl-C ends it early, with the best weights kept.

        Raises:
            TrainingError: as `training.learn.trainer.train`.
        """
        future = self.executor.submit(_train, task, folder)
        try:
            return _result(future)
        except KeyboardInterrupt:
            self.stop.set()
            return _result(future)


@contextmanager
def workers(count: int, threads: int, listener: Listener) -> Iterator[Workers]:
    """Give `count` processes, each of which computes on `threads` threads."""
    context = multiprocessing.get_context("spawn")
    # Memory of a step that the C library gives back, the next one gets page by page: a third more
    # time. Read by the C library of the processes that are started. Heaps of other threads shrink
    # whatever is set, so there is one for all; it grows in steps that outlast many of them.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 30))
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    os.environ.setdefault("MALLOC_TOP_PAD_", str(64 << 20))
    told, stop = context.Queue(), context.Event()
    executor = ProcessPoolExecutor(count, context, _start, (told, stop, threads))
    listening = threading.Thread(target=_listen, args=(told, listener), daemon=True)
    listening.start()
    try:
        yield Workers(executor, stop)
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)
        told.put(None)
        # A process that was killed in the middle of a word leaves the rest of it awaited for ever.
        told.cancel_join_thread()
        listening.join(_LAST_WORDS_SECONDS)


def _listen(told: Any, listener: Listener) -> None:
    while (event := told.get()) is not None:
        if isinstance(event, EpochEnd):
            listener.epoch(event)
        elif isinstance(event, str):
            listener.device(event)
        else:
            listener.cost(event)


def _result(future: "Future[T]") -> T:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise TrainingProcessDied(
            "A training process ended without a word, as when the system runs out of memory. "
            f"{_NEEDS_LESS}"
        ) from error


def _start(told: Any, stop: Any, threads: int) -> None:
    global _told, _stop  # how a process pool hands things to its workers
    _told, _stop = told, stop
    # A terminal's Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from model_store.engines.keras import runtime, set_threads

    tf = runtime()[1]
    set_threads(tf, threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        # The first process would take all of its memory.
        tf.config.experimental.set_memory_growth(gpu, True)


def _listener() -> Listener:
    return Listener(_told.put, _told.put, _stop.is_set)


def _trial(task: Task) -> Floats:
    if _stop.is_set():  # what waits in the pipe cannot be cancelled, and takes long to compile
        raise TrainingInterrupted("Stopped before a trial; nothing to keep.")
    from training.learn.trainer import trial

    with _explaining_lack_of_memory():
        return trial(task, _listener())


def _train(task: Task, folder: Path) -> Learned:
    from model_store.engines.keras import runtime
    from training.learn.trainer import train

    _told.put(_device(runtime()[1]))
    with _explaining_lack_of_memory():
        return train(task, folder, _listener())


@contextmanager
def _explaining_lack_of_memory() -> Iterator[None]:
    from model_store.engines.keras import runtime

    try:
        yield
    except (MemoryError, runtime()[1].errors.ResourceExhaustedError) as error:
        raise TrainingProcessDied(f"There is not enough memory to train. {_NEEDS_LESS}") from error


def _device(tf: Any) -> str:
    """Return what TensorFlow computes on: its first GPU, where there is one."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return str(tf.config.experimental.get_device_details(gpu).get("device_name", "a GPU"))
    return "the CPU"


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
