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
    dense_weights,
    scale_first_kernel,
    standardization,
    training_network,
)
from training.learn.recipe import Recipe
from training.learn.task import (
    Architecture,
    EpochEnd,
    Floats,
    Learned,
    Listener,
    Standardization,
    Task,
)

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
    network, optimizer_at_first = _reusable(task.what, recipe, task.steps, task.steps_per_call)
    fresh = training_network(task.what, task.recipe.seed)
    variables = [*network.variables, *network.optimizer.variables]
    for variable, value in zip(variables, [*fresh.variables, *optimizer_at_first], strict=True):
        variable.assign(value)
    inputs = _started(network, task)
    try:
        _fit(network, task, inputs, listener)
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
    network = _compiled(task.what, recipe, task.steps, task.steps_per_call)
    inputs = _started(network, task)
    best = _KeepBest(task, inputs, folder, listener)
    # Averaged weights are swapped in before they are validated, and out again after.
    averaging = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if recipe.ema_momentum else []
    started, interrupted = time.monotonic(), False
    try:
        _fit(network, task, inputs, listener, *averaging, best)
    except _Stopped:
        interrupted = True
    if best.epoch == 0:
        raise TrainingInterrupted("Stopped before the first epoch was complete; nothing to keep.")
    by_hand = f"Stopped by hand in epoch {len(best.history['loss']) + 1}."
    return Learned(
        inputs,
        best.epoch,
        best.history,
        time.monotonic() - started,
        by_hand if interrupted else f"All {recipe.epochs} epochs were run.",
        interrupted,
        best.logits,
    )


def _started(network: keras.Sequential, task: Task) -> Standardization:
    """Scale the first kernel to the training images, and return the scaling of the inputs."""
    inputs, sample = _statistics(task.train)
    scale_first_kernel(network, _standardized(sample, inputs))
    return inputs


def _fit(
    network: keras.Sequential,
    task: Task,
    inputs: Standardization,
    listener: Listener,
    *callbacks: keras.callbacks.Callback,
) -> None:
    """Run every step of a task.

    Raises:
        _Stopped: where the listener says so.
    """

    def after_call(*_: object, **__: object) -> None:
        listener.cost(task.steps_per_call * task.step_cost)
        if listener.stopped():
            raise _Stopped

    network.fit(
        _batches(task, inputs),
        epochs=task.recipe.epochs,
        steps_per_epoch=task.steps_per_epoch,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=after_call), *callbacks],
        shuffle=False,
        verbose=0,
    )


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
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        metrics=["accuracy"],
        jit_compile=True,
        steps_per_execution=together,
    )
    return network


@lru_cache(maxsize=1)
def _reusable(
    what: Architecture, recipe: Recipe, steps: int, together: int
) -> tuple[keras.Sequential, list[NDArray[Any]]]:
    """Return a compiled network, and what its optimizer held at first: compiling takes seconds."""
    network = _compiled(what, recipe, steps, together)
    return network, [np.array(variable.numpy()) for variable in network.optimizer.variables]


def _in_memory(task: Task) -> Task:
    return replace(task, train=task.train.in_memory(), val=task.val.in_memory())


def _batches(task: Task, inputs: Standardization) -> tf.data.Dataset:
    recipe, images = task.recipe, task.train
    augment = augmentation(recipe.augmentation, recipe.pixel_aspect)
    size = recipe.batch_size
    shape, one_hot = task.what.inputs, np.eye(task.what.labels, dtype=np.float32)
    # Several batches at a time: handing over one of them to TensorFlow costs as much as making it.
    together = max(1, min(_TOGETHER, _BYTES_TOGETHER // (4 * size * math.prod(shape))))

    def batches() -> Iterator[tuple[Floats, Floats]]:
        random = np.random.default_rng(recipe.seed)
        order = _endless_passes(len(images), random)
        while True:
            chosen = np.fromiter(order, np.int64, size * together)
            batch = _standardized(augment(images.read(chosen), random), inputs)
            labels = one_hot[images.truth[chosen]]
            yield batch.reshape(together, size, *shape), labels.reshape(together, size, -1)

    signature = (
        tf.TensorSpec((together, size, *shape), tf.float32),
        tf.TensorSpec((together, size, task.what.labels), tf.float32),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).unbatch().prefetch(2)


def _endless_passes(images: int, random: np.random.Generator) -> Iterator[int]:
    """Yield one shuffled pass after another: every batch is full, as XLA compiles one shape."""
    while True:
        yield from random.permutation(images)


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
