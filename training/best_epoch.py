"""Validation after every epoch: keeps the best weights on disk, and ends what gets no better."""

import math
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.dataset import LabelledImages
from training.errors import NotLearning
from training.listening import EpochEnd, Listener
from training.network import dense_weights
from training.recipe import Recipe

_MIN_PATIENCE = 12
_NOTHING_LEFT = 1e-3  # nats of validation loss


class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
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
        self._patience = max(_MIN_PATIENCE, recipe.epochs // 4)

    def set_model(self, model: keras.Model) -> None:
        """Trace the forward pass of the model that is about to be trained."""
        super().set_model(model)

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # ships no types
        def forward(images: tf.Tensor) -> tf.Tensor:
            return model(images, training=False)

        self._forward = forward

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's signature
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002  # Keras's signature
        """Tell that one batch is done."""
        self._listener.images(self._recipe.batch_size)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Validate, keep what is best, and stop what diverges or gets no better.

        Raises:
            NotLearning: a loss is not finite.
        """
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
        if val_loss < _NOTHING_LEFT or end.epoch - self.epoch >= self._patience:
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
