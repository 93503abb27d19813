"""Choose the augmentation by what helps on held-out images: short trials on thumbnails."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from training.augmentation import augmentation
from training.dataset import LabelledImages

CANDIDATES = ("none", "shifts", "flips-and-shifts")
_IMAGES = 4000
_SIDE = 32
_STEPS = 600
_CHECKS = 10
_BATCH = 64
_HIDDEN = (128,)
_HELD_OUT = 0.25


def choose_augmentation(
    images: LabelledImages, labels: int, seed: int
) -> tuple[str, Mapping[str, float]]:
    """Train a small perceptron with each augmentation; return the one that generalises best.

    A label that a mirror image would change (a digit, an arrow) shows here as a higher held-out
    loss, so nobody has to know it beforehand.

    Args:
        images: the training split; a quarter of a sample of it is held out.
        labels: number of classes.
        seed: of the sample and of the trials.

    Returns:
        The name, and the lowest held-out cross-entropy of every candidate, in nats.
    """
    random = np.random.default_rng(seed)
    sample = random.permutation(len(images))[:_IMAGES]
    pixels, truth = _thumbnails(images, sample), images.truth[sample]
    count = max(1, round(_HELD_OUT * len(sample)))
    held_out = slice(0, count), slice(count, None)
    # Its matrices are so small that a second thread only costs.
    with threadpool_limits(1):
        losses = {name: _trial(name, pixels, truth, held_out, labels, seed) for name in CANDIDATES}
    return min(losses, key=lambda name: losses[name]), losses


def _trial(
    name: str,
    pixels: NDArray[np.uint8],
    truth: NDArray[np.int64],
    parts: tuple[slice, slice],
    labels: int,
    seed: int,
) -> float:
    val, train = parts
    augment, random = augmentation(name), np.random.default_rng(seed)
    mean = pixels[train].mean(axis=0)
    spread = max(float((pixels[train] - mean).std()), 1.0)
    network = MLPClassifier(_HIDDEN, random_state=seed)
    val_pixels = ((pixels[val] - mean) / spread).reshape(len(pixels[val]), -1)
    best = np.inf
    for step in range(1, _STEPS + 1):
        chosen = random.integers(0, len(pixels[train]), _BATCH)
        batch = (augment(pixels[train][chosen], random) - mean) / spread
        network.partial_fit(batch.reshape(_BATCH, -1), truth[train][chosen], classes=range(labels))
        if step % (_STEPS // _CHECKS) == 0:
            guess = network.predict_proba(val_pixels)
            best = min(best, log_loss(truth[val], guess, labels=np.arange(labels)))
    return float(best)


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
