"""The training loop: Keras's `fit`, fed from the cache of block means.

`train` keeps weights on disk; `trial` only says how well held-out images are told
apart after a short run.
"""

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.data.inputs import Inputs
from training.errors import NotLearning, TrainingInterrupted
from training.judge.metrics import cross_entropy
from training.learn.augmentation import augmentation
from training.learn.checkpoint import save_weights
from training.learn.network import (
    Standardization,
    dense_weights,
    scale_first_kernel,
    standardization,
    training_network,
)
from training.learn.recipe import Recipe, steps_per_call
from training.learn.task import Architecture, EpochEnd, Floats, Learned, Listener, Task

_STATISTICS_IMAGES = 4096
_BATCH_OF_STATISTICS = 256
_WARM_UP_SHARE = 0.05
_TOGETHER, _BYTES_TOGETHER = 25, 16_000_000


class _Stopped(Exception):  # no error: somebody asked for it
    pass


def trial(task: Task, listener: Listener) -> Floats:
    """Return the logits of the validation images after a run of its own, (N, labels).

    Raises:
        NotLearning: the loss became infinite or NaN.
    """
    task = _in_memory(task)
    # Compiled once for every augmentation and seed.
    recipe = replace(task.recipe, augmentation="none", pixel_aspect=1.0, seed=0)
    network, optimizer_at_first = _reusable(
        task.what, recipe, task.steps, _largest_divisor(task.steps, _TOGETHER)
    )
    fresh = training_network(task.what, task.recipe.seed)
    for variable, value in zip(network.variables, fresh.variables, strict=True):
        variable.assign(value)
    for variable, value in zip(network.optimizer.variables, optimizer_at_first, strict=True):
        variable.assign(value)
    inputs, sample = _statistics(task.train)
    scale_first_kernel(network, _standardized(sample, inputs))
    try:
        network.fit(
            _batches(task, inputs),
            steps_per_epoch=task.steps,
            callbacks=[_Steps(task, listener)],
            shuffle=False,
            verbose=0,
        )
    except _Stopped:
        raise TrainingInterrupted("Stopped in a trial; nothing to keep.") from None
    logits = _logits(network, task.val, inputs)
    if not np.isfinite(logits).all():
        raise NotLearning("A trial's outputs are not finite: the model is not learning.")
    return logits


def train(task: Task, folder: Path, listener: Listener) -> Learned:
    """Train, and keep the weights of the last epoch in `folder`.

    Where the listener says stop, the run ends early; the weights of the epoch with the lowest
    validation loss until then are kept.

    Raises:
        NotLearning: the loss became infinite or NaN.
        TrainingInterrupted: stopped before the end of the first epoch.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task, recipe = _in_memory(task), task.recipe
    network = _compiled(task.what, recipe, task.steps, _together(task))
    inputs, sample = _statistics(task.train)
    scale_first_kernel(network, _standardized(sample, inputs))
    best = _KeepBest(task, inputs, folder, listener)
    averaging = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if recipe.ema_momentum else []
    started, ended = time.monotonic(), ""
    try:
        network.fit(
            _batches(task, inputs),
            epochs=recipe.epochs,
            steps_per_epoch=recipe.steps_per_epoch(len(task.train)),
            # Averaged weights are swapped in before they are validated, and out again after.
            callbacks=[_Steps(task, listener), *averaging, best],
            shuffle=False,
            verbose=0,
        )
    except _Stopped:
        ended = f"Stopped by hand in epoch {len(best.history.get('loss', ())) + 1}."
    if best.epoch == 0:
        raise TrainingInterrupted("Stopped before the first epoch was complete; nothing to keep.")
    return Learned(
        inputs.mean,
        inputs.scale,
        best.epoch,
        best.history,
        time.monotonic() - started,
        ended or f"All {recipe.epochs} epochs were run.",
        bool(ended),
        best.logits,
    )


class _Steps(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Tells of every few steps, and ends the run where the listener says so."""

    def __init__(self, task: Task, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self._step_cost = task.step_cost
        self._told = -1

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's signature
        self._told = -1

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's signature
        self._listener.cost((batch - self._told) * self._step_cost)
        self._told = batch
        if self._listener.stopped():
            raise _Stopped


class _KeepBest(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Validates after every epoch, and keeps the best weights until the last ones are there."""

    def __init__(
        self, task: Task, inputs: Standardization, folder: Path, listener: Listener
    ) -> None:
        super().__init__()
        self.epoch = 0
        self.logits: Floats = np.empty((0, 0), np.float32)
        self.history: dict[str, list[float]] = {}
        self._task, self._inputs, self._folder, self._listener = task, inputs, folder, listener
        self._best_loss = math.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Validate, and keep what is best so far.

        Raises:
            NotLearning: a loss is not finite.
        """
        val = self._task.val
        logits = _logits(self.model, val, self._inputs)
        end = EpochEnd(
            epoch + 1,
            self._task.recipe.epochs,
            **{key: float((logs or {})[key]) for key in ("loss", "accuracy")},
            val_loss=float(cross_entropy(logits, val.truth).mean()),
            val_accuracy=float((logits.argmax(axis=1) == val.truth).mean()),
        )
        for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
            self.history.setdefault(key, []).append(getattr(end, key))
        if not (math.isfinite(end.loss) and math.isfinite(end.val_loss)):
            raise NotLearning(
                f"The loss is not finite after epoch {end.epoch} (training {end.loss}, validation "
                f"{end.val_loss}): the model is not learning and nothing was published."
            )
        # The schedule ends where it has settled; a minimum before that is mostly luck.
        if end.val_loss < self._best_loss or end.epoch == end.epochs:
            save_weights(self._folder, [_without_copying(v) for v in dense_weights(self.model)])
            self.epoch, self._best_loss, self.logits = end.epoch, end.val_loss, logits
        self._listener.epoch(end)


def _statistics(images: Inputs) -> tuple[Standardization, Floats]:
    """Return the input scaling over at most 4096 images, and a sample batch of them."""
    chosen = np.linspace(0, len(images) - 1, min(len(images), _STATISTICS_IMAGES)).astype(np.int64)
    step = _BATCH_OF_STATISTICS
    parts = [chosen[k : k + step] for k in range(0, len(chosen), step)]
    first = images.read(parts[0])
    total = np.zeros(first[0].size)
    squares = 0.0
    for part in parts:
        flat = images.read(part).reshape(len(part), -1) / np.float32(255)  # (n, inputs)
        total += flat.sum(axis=0, dtype=np.float64)
        squares += float(np.square(flat).sum(dtype=np.float64))
    mean = total / len(chosen)
    variance = squares / len(chosen) / mean.size - float(np.square(mean).mean())
    return standardization(mean.astype(np.float32), math.sqrt(max(variance, 0))), first


def _standardized(images: Floats, inputs: Standardization) -> Floats:
    flat = images.reshape(len(images), -1) / np.float32(255)
    standardized = (flat - inputs.mean) * np.float32(inputs.scale)
    return np.asarray(standardized.reshape(images.shape), np.float32)


def _compiled(what: Architecture, recipe: Recipe, steps: int, together: int) -> keras.Sequential:
    network = training_network(what, recipe.seed)
    warm_up = max(1, round(_WARM_UP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        use_ema=recipe.ema_momentum is not None,
        ema_momentum=recipe.ema_momentum or 0.99,
    )
    optimizer.build(network.trainable_variables)
    network.compile(
        optimizer=optimizer,
        loss=_SmoothedCrossEntropy(what.labels, recipe.label_smoothing),
        metrics=["accuracy"],
        jit_compile=True,
        steps_per_execution=together,
    )
    return network


class _SmoothedCrossEntropy(keras.losses.Loss):  # type: ignore[misc]  # Keras ships no types
    """Cross-entropy of logits with labels that are a little uncertain (Szegedy et al. 2016)."""

    def __init__(self, labels: int, smoothing: float) -> None:
        super().__init__(name="smoothed_cross_entropy")
        self._labels, self._smoothing = labels, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.losses.categorical_crossentropy(
            keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), self._labels),
            y_pred,
            from_logits=True,
            label_smoothing=self._smoothing,
        )


@lru_cache(maxsize=1)
def _reusable(
    what: Architecture, recipe: Recipe, steps: int, together: int
) -> tuple[keras.Sequential, list[NDArray[Any]]]:
    """Return a compiled network, and what its optimizer held at first: compiling takes seconds."""
    network = _compiled(what, recipe, steps, together)
    return network, [np.array(variable.numpy()) for variable in network.optimizer.variables]


def _largest_divisor(number: int, most: int) -> int:
    return next(k for k in range(most, 0, -1) if number % k == 0)


def _together(task: Task) -> int:
    return steps_per_call(len(task.train), task.recipe.batch_size)


def _in_memory(task: Task) -> Task:
    return replace(task, train=task.train.in_memory(), val=task.val.in_memory())


def _batches(task: Task, inputs: Standardization) -> tf.data.Dataset:
    recipe, images = task.recipe, task.train
    augment = augmentation(recipe.augmentation, recipe.pixel_aspect)
    size = recipe.batch_size

    shape = task.what.inputs
    # Several batches at a time: handing over one of them to TensorFlow costs as much as making it.
    together = max(1, min(_TOGETHER, _BYTES_TOGETHER // (4 * size * math.prod(shape))))

    def batches() -> Iterator[tuple[Floats, NDArray[np.int64]]]:
        random = np.random.default_rng(recipe.seed)
        for chosen in _endless_batches(len(images), size * together, random):
            batch = _standardized(augment(images.read(chosen), random), inputs)
            yield batch.reshape(together, size, *shape), images.truth[chosen].reshape(-1, size)

    signature = (
        tf.TensorSpec((together, size, *shape), tf.float32),
        tf.TensorSpec((together, size), tf.int64),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).unbatch().prefetch(2)


def _endless_batches(
    images: int, size: int, random: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield full batches of one shuffled pass after another; XLA compiles one shape only."""
    rest = np.empty(0, np.int64)
    while True:
        while len(rest) < size:
            rest = np.concatenate([rest, random.permutation(images)])
        chosen, rest = rest[:size], rest[size:]
        yield chosen


def _logits(network: keras.Sequential, images: Inputs, inputs: Standardization) -> Floats:
    """Return (N, labels)."""
    size, parts = _BATCH_OF_STATISTICS, []
    for start in range(0, len(images), size):
        chosen = np.arange(start, min(start + size, len(images)))
        batch = _standardized(images.read(chosen), inputs)
        parts.append(keras.ops.convert_to_numpy(network(batch, training=False)))
    return np.concatenate(parts)


def _without_copying(variable: keras.Variable) -> Floats:
    # `numpy()` would copy twice, which is 2 GB for the largest kernel.
    return np.asarray(memoryview(tf.convert_to_tensor(variable.value)))
