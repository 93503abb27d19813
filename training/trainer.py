"""The training loop: Keras's `fit`, fed from the pixel cache, with the best epoch kept on disk."""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.augmentation import augmentation
from training.dataset import LabelledImages
from training.errors import NotLearning, TrainingInterrupted
from training.network import (
    Standardization,
    build_training_network,
    dense_weights,
    scale_first_kernel,
    standardization,
)
from training.recipe import Recipe

_STATISTICS_IMAGES = 4096
_WARM_UP_SHARE = 0.05
_MIN_PATIENCE = 12


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """What is known after one epoch."""

    epoch: int  # from 1
    epochs: int
    seconds: float
    images: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class TrainedRun:
    """The best weights of a run, in a folder, and how they came about."""

    folder: Path
    inputs: Standardization
    best_epoch: int
    history: dict[str, list[float]]
    seconds: float
    interrupted: bool
    val_logits: NDArray[np.float32]  # (N, labels) of the best epoch

    def weights(self) -> list[NDArray[np.float32]]:
        """Read kernel and bias of every dense layer, in order."""
        return [np.load(path) for path in sorted((self.folder / "best").glob("*.npy"))]


@dataclass(frozen=True, slots=True)
class Listener:
    """What the trainer tells while it works."""

    images: Callable[[int], None]
    epoch: Callable[[EpochEnd], None]


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
        optimizer=_optimizer(recipe, steps),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    best = _KeepBest(val_images, recipe, folder, listener, len(train_images))
    started = time.monotonic()
    interrupted = False
    try:
        network.fit(
            _batches(train_images, recipe, sample.shape[1:]),
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            callbacks=[best],
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
    _save(run)
    return run


def load_run(folder: Path) -> TrainedRun:
    """Read what an earlier `train` left in `folder`.

    Raises:
        OSError: there is no complete run.
    """
    record = json.loads((folder / "run.json").read_text())
    arrays = np.load(folder / "run.npz", allow_pickle=False)
    inputs = Standardization(arrays["mean"], record.pop("scale"))
    return TrainedRun(folder=folder, inputs=inputs, val_logits=arrays["val_logits"], **record)


def _save(run: TrainedRun) -> None:
    np.savez(run.folder / "run.npz", mean=run.inputs.mean, val_logits=run.val_logits)
    record = {
        "scale": run.inputs.scale,
        "best_epoch": run.best_epoch,
        "history": run.history,
        "seconds": run.seconds,
        "interrupted": run.interrupted,
    }
    (run.folder / "run.json").write_text(json.dumps(record))


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


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    steps = steps_per_epoch * recipe.epochs
    warm_up = max(1, round(_WARM_UP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    return keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)


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


class _KeepBest(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Validates after every epoch, keeps the best weights, and stops what gets no better."""

    def __init__(
        self,
        images: LabelledImages,
        recipe: Recipe,
        folder: Path,
        listener: Listener,
        train_images: int,
    ) -> None:
        super().__init__()
        self.epoch = 0
        self.logits: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.history: dict[str, list[float]] = {}
        self._images = images
        self._recipe = recipe
        self._folder = folder
        self._listener = listener
        self._train_images = train_images
        self._best_loss = math.inf
        self._patience = max(_MIN_PATIENCE, recipe.epochs // 3)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)

        @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]  # ships no types
        def forward(images: tf.Tensor) -> tf.Tensor:
            return model(images, training=False)

        self._forward = forward

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's signature
        self._started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's signature
        self._listener.images(self._recipe.batch_size)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logits = self._validate()
        val_loss = float(_cross_entropy(logits, self._images.truth).mean())
        val_accuracy = float((logits.argmax(axis=1) == self._images.truth).mean())
        end = EpochEnd(
            epoch + 1,
            self._recipe.epochs,
            time.monotonic() - self._started,
            self._train_images,
            **{key: float((logs or {})[key]) for key in ("loss", "accuracy")},
            val_loss=val_loss,
            val_accuracy=val_accuracy,
        )
        self._remember(end)
        if not (math.isfinite(end.loss) and math.isfinite(val_loss)):
            raise NotLearning(
                f"The loss is not finite after epoch {end.epoch} (training {end.loss}, validation "
                f"{val_loss}): the model is not learning and nothing was published."
            )
        if val_loss < self._best_loss:
            self._keep(end, logits)
        elif end.epoch - self.epoch >= self._patience:
            self.model.stop_training = True
        self._listener.epoch(end)

    def _remember(self, end: EpochEnd) -> None:
        for key, value in asdict(end).items():
            if key in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"):
                self.history.setdefault(key, []).append(value)

    def _keep(self, end: EpochEnd, logits: NDArray[np.float32]) -> None:
        new = self._folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for k, variable in enumerate(dense_weights(self.model)):
            np.save(new / f"{k:03}.npy", _without_copying(variable))
        shutil.rmtree(self._folder / "best", ignore_errors=True)
        new.rename(self._folder / "best")
        self.epoch, self._best_loss, self.logits = end.epoch, end.val_loss, logits

    def _validate(self) -> NDArray[np.float32]:
        """Return the logits of the validation images; batches are padded to one shape."""
        size, parts = self._recipe.batch_size, []
        for start in range(0, len(self._images), size):
            chosen = np.arange(start, min(start + size, len(self._images)))
            images = self._images.read(chosen)
            padded = np.pad(images, ((0, size - len(images)), (0, 0), (0, 0)))
            parts.append(self._forward(tf.constant(padded)).numpy()[: len(images)])
        return np.concatenate(parts)


def _without_copying(variable: keras.Variable) -> NDArray[np.float32]:
    # `numpy()` would copy twice, which is 2 GB for the largest kernel.
    return np.asarray(memoryview(tf.convert_to_tensor(variable.value)))


def _cross_entropy(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    losses: NDArray[np.float64] = log_sum - shifted[np.arange(len(truth)), truth]
    return losses
