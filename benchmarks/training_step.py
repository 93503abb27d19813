"""python -m benchmarks.training_step ours|notebook: seconds per step and peak memory, as JSON."""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.samples import photographs
from benchmarks.train import HIDDEN, SIZE

BATCH = 32
STEPS = 16
_DIFFERENT = 16


def ours() -> dict[str, float]:
    """Train from pixels on disk as `fit` does, with augmentation and validation."""
    from training.dataset import LabelledImages
    from training.listening import Listener
    from training.recipe import Recipe
    from training.trainer import train

    moments: list[float] = []
    recipe = Recipe(HIDDEN, 0.2, "flips-and-shifts", epochs=2, batch_size=BATCH, seed=0)
    listener = Listener(lambda _: moments.append(time.perf_counter()), lambda _: None)
    truth = np.arange(STEPS * BATCH) % 2
    with tempfile.TemporaryDirectory() as folder:
        pixels = _on_disk(Path(folder) / "pixels.u8", len(truth))
        images = LabelledImages(truth, lambda chosen: pixels[chosen])
        few = LabelledImages(truth[:BATCH], lambda chosen: pixels[chosen])
        train(images, few, 2, recipe, Path(folder) / "run", listener)
    second = np.diff(moments[STEPS:])  # the first epoch compiles
    return {"seconds per step": float(np.median(second))}


def notebook() -> dict[str, float]:
    """Train as the notebook does, with its label encoding mended."""
    import keras

    images = photographs(_DIFFERENT, SIZE).reshape(_DIFFERENT, -1).astype(np.float32) / 255
    images = np.tile(images, (STEPS * BATCH // _DIFFERENT, 1))
    model = keras.Sequential([keras.Input((images.shape[1],))])
    for units in HIDDEN:
        model.add(keras.layers.Dense(units))
        model.add(keras.layers.ReLU())
        model.add(keras.layers.Dropout(0.2))
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    moments: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: moments.append(time.perf_counter())
    )
    labels = np.eye(2, dtype=np.float32)[np.arange(len(images)) % 2]
    model.fit(images, labels, batch_size=BATCH, epochs=2, verbose=0, callbacks=[clock])
    return {"seconds per step": float(np.median(np.diff(moments[STEPS:])))}


def _on_disk(path: Path, images: int) -> np.ndarray:
    pixels = np.memmap(path, np.uint8, "w+", shape=(images, *SIZE))
    different = photographs(_DIFFERENT, SIZE)
    for number in range(images):
        pixels[number] = different[number % _DIFFERENT]
    return pixels


if __name__ == "__main__":
    found = {"ours": ours, "notebook": notebook}[sys.argv[1]]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({**found, "peak GB": peak}))  # for the parent process
