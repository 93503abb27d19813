"""Choose the augmentation by what helps on validation: short runs of the same training, small."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.dataset import LabelledImages
from training.recipe import Recipe
from training.trainer import Listener, train

CANDIDATES = ("none", "shifts", "flips-and-shifts")
_IMAGES = 4000
_SIDE = 32
_STEPS = 600
_BATCH = 32
_HIDDEN = (128,)
_VAL_SHARE = 0.25
_FOLDS = 2


def choose_augmentation(
    images: LabelledImages, labels: int, folder: Path, seed: int
) -> tuple[str, Mapping[str, float]]:
    """Train on thumbnails with each augmentation, and return the one that generalises best.

    A label that a mirror image would change (a digit, an arrow) shows here as a higher validation
    loss, so nobody has to know it beforehand.

    Args:
        images: the training split; a quarter of a sample of it is held out in each of two folds.
        labels: number of classes.
        folder: for the pilot runs' weights.
        seed: of the sample and of the runs.

    Returns:
        The name, and the mean held-out cross-entropy in nats of every candidate.
    """
    random = np.random.default_rng(seed)
    sample = random.permutation(len(images))[:_IMAGES]
    small = _thumbnails(images, sample)
    truth = images.truth[sample]
    losses = dict.fromkeys(CANDIDATES, 0.0)
    held_out = max(1, round(_VAL_SHARE * len(sample)))
    for fold in range(_FOLDS):
        val = np.arange(len(sample)) // held_out == fold
        for name in CANDIDATES:
            recipe = _recipe(name, int((~val).sum()), seed)
            run = train(
                _in_memory(small[~val], truth[~val]),
                _in_memory(small[val], truth[val]),
                labels,
                recipe,
                folder,
                Listener(lambda _: None, lambda _: None),
            )
            losses[name] += min(run.history["val_loss"]) / _FOLDS
    return min(losses, key=lambda name: losses[name]), losses


def _recipe(augmentation: str, images: int, seed: int) -> Recipe:
    batch = min(_BATCH, images)
    epochs = max(1, round(_STEPS * batch / images))
    return Recipe(_HIDDEN, 0.2, augmentation, epochs, batch, seed)


def _in_memory(pixels: NDArray[np.uint8], truth: NDArray[np.int64]) -> LabelledImages:
    return LabelledImages(truth, lambda chosen: pixels[chosen])


def _thumbnails(images: LabelledImages, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return (n, h, w) uint8 means of blocks, no side much longer than 32."""
    parts = [_block_means(images.read(chosen[k : k + 64])) for k in range(0, len(chosen), 64)]
    return np.concatenate(parts)


def _block_means(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count, height, width = images.shape
    rows, columns = max(1, height // _SIDE), max(1, width // _SIDE)
    h, w = height // rows, width // columns
    blocks = images[:, : h * rows, : w * columns].reshape(count, h, rows, w, columns)
    means: NDArray[np.uint8] = np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return means
