"""What the shipped digits model makes of digits that are not MNIST's: printed, displaced."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_digits import drawn_digits
from numpy.typing import NDArray
from PIL import Image

from model_store.bundle import Model, open_model, read_bundle
from model_store.pixels.preprocessing import encode_png, preprocess

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "models" / "digits" / "1"
MNIST = Path(os.environ.get("HALFTONE_DATA", ROOT.parent / "shared" / "data")) / "mnist.npz"

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


def displaced(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Return (28, 28) `image` inverted, shifted by up to 4 px and scaled by 0.8 to 1.2."""
    scale = generator.uniform(0.8, 1.2)
    down, right = generator.integers(-4, 4, 2, endpoint=True)
    matrix = (1 / scale, 0, 14 - (14 + right) / scale, 0, 1 / scale, 14 - (14 + down) / scale)
    moved = Image.fromarray(image).transform(
        (28, 28), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return 255 - np.asarray(moved)


@pytest.fixture(scope="module")
def shipped() -> Iterator[Model]:
    if not SHIPPED.is_dir():
        pytest.skip(f"{SHIPPED} is not there")
    model = open_model(read_bundle(SHIPPED), "auto", threads=1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def mnist() -> tuple[Pixels, Labels]:
    if not MNIST.is_file():
        pytest.skip(f"{MNIST} is not there; HALFTONE_DATA names the folder that holds it")
    with np.load(MNIST, allow_pickle=False) as arrays:
        return arrays["x_test"], arrays["y_test"].astype(np.int64)


def accuracy(model: Model, files: list[bytes], labels: Labels) -> float:
    pixels = np.stack([preprocess(data, model.spec) for data in files])
    names = [model.labels[k] for k in model.predict(pixels).argmax(axis=1)]
    return float(np.mean([name == str(label) for name, label in zip(names, labels, strict=True)]))


@pytest.mark.slow
def test_shipped_model_reads_printed_digits(shipped):
    labels, files = zip(*drawn_digits(100), strict=True)
    assert accuracy(shipped, list(files), np.array(labels)) >= 0.97


@pytest.mark.slow
def test_shipped_model_reads_inverted_shifted_and_scaled_digits(shipped, mnist):
    generator = np.random.default_rng(0)
    files = [encode_png(displaced(image, generator)) for image in mnist[0]]
    assert accuracy(shipped, files, mnist[1]) >= 0.97


@pytest.mark.slow
def test_shipped_model_sees_mnist_as_it_is(shipped, mnist):
    seen = [preprocess(encode_png(image), shipped.spec) for image in mnist[0][:1000]]
    assert (np.stack(seen) == mnist[0][:1000]).all()
