"""The training loop: Keras's `fit`, fed from the pixel cache, with the best epoch kept on disk."""

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.augmentation import augmentation
from training.best_epoch import KeepBest
from training.dataset import LabelledImages
from training.errors import TrainingInterrupted
from training.listening import Listener
from training.network import build_training_network, pays_to_compile, scale_first_kernel
from training.recipe import Recipe
from training.runs import TrainedRun, save_run
from training.standardization import Standardization, standardization

_STATISTICS_IMAGES = 4096
_WARM_UP_SHARE = 0.05


def train(
    train_images: LabelledImages,
    val_images: LabelledImages,
    labels: int,
    recipe: Recipe,
    folder: Path,
    listener: Listener,
) -> TrainedRun:
    """Train, and keep the weights of the epoch with the lowest validation loss in `folder`.

    Ctrl-C ends the run early; what was best until then is kept.

    Raises:
        NotLearning: the loss became infinite or NaN.
        TrainingInterrupted: Ctrl-C before the end of the first epoch.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    inputs, sample = _statistics(train_images)
    network = build_training_network(
        inputs, sample.shape[1:], labels, recipe.hidden, recipe.dropout, recipe.seed
    )
    scale_first_kernel(network, sample)
    steps = -(-len(train_images) // recipe.batch_size)
    network.compile(
        optimizer=_optimizer(recipe, steps, network),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    best = KeepBest(val_images, recipe, folder, listener, len(train_images))
    started = time.monotonic()
    interrupted = False
    try:
        network.fit(
            _batches(train_images, recipe, sample.shape[1:]),
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            # Averaged weights are swapped in before they are validated, and out again after.
            callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True), best]
            if recipe.ema_momentum
            else [best],
            shuffle=False,
            verbose=0,
        )
    except KeyboardInterrupt:
        interrupted = True
    if best.epoch == 0:
        raise TrainingInterrupted("Stopped before the first epoch was complete; nothing to keep.")
    run = TrainedRun(
        folder,
        inputs,
        best.epoch,
        best.history,
        time.monotonic() - started,
        interrupted,
        best.logits,
    )
    save_run(run)
    return run


def _statistics(images: LabelledImages) -> tuple[Standardization, NDArray[np.uint8]]:
    """Return the input scaling over at most 4096 images, and a sample batch of them."""
    chosen = np.linspace(0, len(images) - 1, min(len(images), _STATISTICS_IMAGES)).astype(np.int64)
    parts = [chosen[k : k + 64] for k in range(0, len(chosen), 64)]
    first = images.read(parts[0])
    total = np.zeros(first[0].size)
    squares = 0.0
    for part in parts:
        flat = images.read(part).reshape(len(part), -1).astype(np.float32) / 255  # (n, H*W)
        total += flat.sum(axis=0)
        squares += float(np.square(flat).sum(dtype=np.float64))
    mean = total / len(chosen)
    variance = squares / len(chosen) / mean.size - float(np.square(mean).mean())
    return standardization(mean.astype(np.float32), math.sqrt(max(variance, 0))), first


class CompiledAdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras ships no types
    """AdamW whose update is compiled by XLA, which fuses its passes over a large kernel.

    The rest of the step is not compiled: oneDNN's matrix products are faster than XLA's.
    """

    def apply(self, grads: list[tf.Tensor], trainable_variables: object = None) -> None:
        """Update the variables by their gradients, as Keras's optimizers do."""
        update = super().apply

        @tf.function(autograph=False, jit_compile=True)  # type: ignore[untyped-decorator]  # ships no types
        def compiled(grads: list[tf.Tensor]) -> None:
            update(grads, trainable_variables)

        compiled(grads)


def _optimizer(
    recipe: Recipe, steps_per_epoch: int, network: keras.Model
) -> keras.optimizers.Optimizer:
    steps = steps_per_epoch * recipe.epochs
    warm_up = max(1, round(_WARM_UP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    kind = CompiledAdamW if pays_to_compile(network) else keras.optimizers.AdamW
    optimizer = kind(
        schedule,
        weight_decay=recipe.weight_decay,
        use_ema=recipe.ema_momentum is not None,
        ema_momentum=recipe.ema_momentum or 0.99,
    )
    optimizer.build(network.trainable_variables)
    return optimizer


def _batches(images: LabelledImages, recipe: Recipe, shape: Sequence[int]) -> tf.data.Dataset:
    augment = augmentation(recipe.augmentation)
    size = recipe.batch_size

    def batches() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        random = np.random.default_rng(recipe.seed)
        for chosen in _endless_batches(len(images), size, random):
            yield augment(images.read(chosen), random), images.truth[chosen]

    signature = (
        tf.TensorSpec((size, *shape), tf.uint8),
        tf.TensorSpec((size,), tf.int64),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)


def _endless_batches(
    images: int, size: int, random: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield full batches of one shuffled pass after another; XLA compiles one shape only."""
    rest = np.empty(0, np.int64)
    while True:
        rest = np.concatenate([rest, random.permutation(images)])
        while len(rest) >= size:
            chosen, rest = rest[:size], rest[size:]
            # Sorted, so that the disk is read in one direction.
            yield np.sort(chosen)
