"""Training of a large network in a process of its own, so that its memory ends with it.

TensorFlow keeps the variables of a traced training step until the process ends: weights and Adam's
moments, 2.8 GB at 960 x 480, beside which the published network and its exports would not fit.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from training.dataset import LabelledImages
from training.errors import TrainingError, TrainingProcessDied
from training.listening import Listener
from training.recipe import Recipe
from training.runs import TrainedRun


def train_apart(
    train_images: LabelledImages,
    val_images: LabelledImages,
    labels: int,
    recipe: Recipe,
    folder: Path,
    listener: Listener,
) -> TrainedRun:
    """Do what `training.trainer.train` does, in a child process; Ctrl-C reaches it.

    Raises:
        TrainingProcessDied: the child ended without a word, as when memory runs out.
        TrainingError: as `train`.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(
        target=_train, args=(sender, train_images, val_images, labels, recipe, folder)
    )
    child.start()
    sender.close()
    try:
        with _interrupts_passed_on(child.pid):
            return _follow(receiver, listener)
    except EOFError as error:
        child.join()
        raise TrainingProcessDied(
            f"The training process ended with exit code {child.exitcode}; -9 means that the system "
            "ran out of memory. A smaller --height, --width or --hidden needs less."
        ) from error
    finally:
        child.terminate()
        child.join()


def _follow(receiver: Connection, listener: Listener) -> TrainedRun:
    while True:
        kind, value = receiver.recv()
        if kind == "images":
            listener.images(value)
        elif kind == "epoch":
            listener.epoch(value)
        elif kind == "run":
            run: TrainedRun = value
            return run
        else:
            raise value


@contextmanager
def _interrupts_passed_on(pid: int | None) -> Iterator[None]:
    # A KeyboardInterrupt here could cut a message from the child in two.
    before = signal.signal(signal.SIGINT, lambda *_: os.kill(pid or 0, signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _train(
    sender: Connection,
    train_images: LabelledImages,
    val_images: LabelledImages,
    labels: int,
    recipe: Recipe,
    folder: Path,
) -> None:
    # Its own group: a terminal's Ctrl-C arrives once, by way of the parent.
    os.setpgrp()
    # A command in the background was started to ignore it, and so was this process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from model_store.engines.keras import runtime

    runtime()
    from training.trainer import train

    def tell(kind: str, value: object) -> None:
        sender.send((kind, value))

    listener = Listener(lambda count: tell("images", count), lambda end: tell("epoch", end))
    try:
        tell("run", train(train_images, val_images, labels, recipe, folder, listener))
    except TrainingError as error:
        tell("error", error)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
