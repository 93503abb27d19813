import numpy as np
import pytest

from app.observability.drift import ENOUGH_IMAGES, DriftMonitor, stability_index
from model_store.manifest import Reference


def reference(images: np.ndarray) -> Reference:
    pixels = np.bincount(images.reshape(-1) >> 4, minlength=16) / images.size
    means = images.reshape(len(images), -1).mean(axis=1).astype(np.uint8)
    shares = np.bincount(means >> 4, minlength=16) / len(images)
    return Reference(pixel_histogram=tuple(pixels), image_mean_histogram=tuple(shares))


def draw(count: int, low: int, high: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (count, 40, 30), np.uint8)


def test_images_like_those_of_training_do_not_drift():
    monitor = DriftMonitor(reference(draw(100, 0, 200, seed=0)))
    for image in draw(200, 0, 200, seed=1):
        monitor.observe(image)
    scores = monitor.scores()

    assert scores["pixels"] < 0.1
    assert scores["image_means"] < 0.1


def test_brighter_images_drift():
    monitor = DriftMonitor(reference(draw(100, 0, 150, seed=0)))
    for image in draw(200, 100, 250, seed=1):
        monitor.observe(image)
    scores = monitor.scores()

    assert min(scores.values()) > 0.25


def test_few_images_say_nothing_yet():
    monitor = DriftMonitor(reference(draw(10, 0, 256, seed=0)))
    for image in draw(ENOUGH_IMAGES - 1, 0, 10, seed=1):
        monitor.observe(image)

    assert monitor.scores() is None


def test_index_of_equal_histograms_is_0_and_it_is_symmetric():
    p = np.array([0.5, 0.5] + [0.0] * 14)
    q = np.array([0.1, 0.9] + [0.0] * 14)

    assert stability_index(p, p) == 0
    assert stability_index(p, q) == pytest.approx(stability_index(q, p))
    assert stability_index(p, q) > 0.25
