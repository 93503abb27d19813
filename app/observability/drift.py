"""How far incoming pixels are from those that the model was trained on."""

import threading

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Reference
from model_store.pixels.novelty import sampled

BINS = 16
# An image's weight in the running histograms: about the last 200 images count.
WEIGHT = 0.005
# With fewer images than this the estimate says more of chance than of drift.
ENOUGH_IMAGES = 50
# Share that every bin is given, so that one that was empty in training does not mean infinity.
FLOOR = 1e-3


class DriftMonitor:
    """Running histograms of the pixels and of each image's mean, compared with training's.

    The distance is the population stability index, Σ (p − q) ln(p / q); by convention below 0.1
    nothing changed, above 0.25 something did.
    """

    def __init__(self, reference: Reference) -> None:
        self._expected_pixels = np.array(reference.pixel_histogram)
        self._expected_means = np.array(reference.image_mean_histogram)
        self._pixels = self._expected_pixels.copy()
        self._means = self._expected_means.copy()
        self._images = 0
        self._lock = threading.Lock()

    def observe(self, pixels: NDArray[np.uint8]) -> None:
        """Count one image, (H, W) uint8. Any thread may call."""
        sample = sampled(pixels).reshape(-1)
        shares = np.bincount(sample >> 4, minlength=BINS) / sample.size
        with self._lock:
            self._images += 1
            weight = max(WEIGHT, 1 / self._images)
            self._pixels += weight * (shares - self._pixels)
            self._means *= 1 - weight
            self._means[int(sample.mean()) >> 4] += weight

    def scores(self) -> dict[str, float] | None:
        """Return the index of pixels and of image means; None before enough images were seen."""
        with self._lock:
            if self._images < ENOUGH_IMAGES:
                return None
            return {
                "pixels": stability_index(self._expected_pixels, self._pixels),
                "image_means": stability_index(self._expected_means, self._means),
            }


def stability_index(expected: NDArray[np.float64], received: NDArray[np.float64]) -> float:
    """Return the population stability index of two histograms that each sum to 1."""
    p, q = expected + FLOOR, received + FLOOR
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())
