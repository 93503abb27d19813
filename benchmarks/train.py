"""One step of training: ours, the notebook's, and what Adam's memory traffic allows.

Each way runs in a process of its own: python -m benchmarks.train ours|notebook.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import memory_bandwidth_gb_s
from benchmarks.report import Goal, Report, Row
from benchmarks.samples import HIDDEN, SIZE, photographs

_BATCH = 32
_STEPS = 16
_DIFFERENT = 16
# Per weight: the gradient is read; weight and both moments are read and written.
_ADAM_PASSES = 7
_BYTES = 4


def run() -> Report:
    """Train the notebook's network for some steps, each way in a process of its own."""
    weights = SIZE[0] * SIZE[1] * HIDDEN[0]
    floor = weights * _BYTES * _ADAM_PASSES / memory_bandwidth_gb_s() / 1e9
    notebook, ours = _measured("notebook"), _measured("ours")
    step = ours["seconds per step"]
    rows: list[Row] = [
        {"what": "the notebook, mended", **notebook},
        {"what": "python -m training fit --pool 1", **ours},
        {"what": "Adam's memory traffic alone", "seconds per step": floor},
    ]
    return Report(
        {"A step of 32 images of 960 × 480, with input and augmentation": rows},
        [
            Goal("A step of training", step, 0.35, False, "s"),
            Goal(
                "Times as fast as the notebook", notebook["seconds per step"] / step, 2.5, True, "×"
            ),
            Goal("The most memory that training takes", ours["peak GB"], 6.5, False, "GB"),
        ],
        ["The notebook neither augments its images nor standardises them."],
    )


def _measured(which: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.train", which]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(command, env=quiet, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def _ours() -> float:
    """Train on every pixel, from disk, as `fit --pool 1` does, with augmentation and validation."""
    from training.data.inputs import Inputs
    from training.learn.recipe import Recipe
    from training.learn.task import Architecture, Listener, Task
    from training.learn.trainer import train

    ends: list[float] = []
    recipe = Recipe("flips", 1.0, epochs=3, batch_size=_BATCH, seed=0)
    listener = Listener(lambda _: None, lambda _: ends.append(time.perf_counter()))
    truth = np.arange(_STEPS * _BATCH) % 2
    with tempfile.TemporaryDirectory() as folder:
        pixels = _on_disk(Path(folder) / "pixels.u8", len(truth))
        images = Inputs(truth, lambda chosen: pixels[chosen].astype(np.float32))
        few = Inputs(truth[:_BATCH], images.read)
        task = Task(images, few, Architecture(*SIZE, 1, 2, HIDDEN, 0.2), recipe)
        train(task, Path(folder) / "run", listener)
    return (ends[-1] - ends[0]) / (len(ends) - 1) / _STEPS  # the first compiles


def _notebook() -> float:
    """Train as the notebook does, with its label encoding mended."""
    import keras

    images = photographs(_DIFFERENT, SIZE).reshape(_DIFFERENT, -1).astype(np.float32) / 255
    images = np.tile(images, (_STEPS * _BATCH // _DIFFERENT, 1))
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
    model.fit(images, labels, batch_size=_BATCH, epochs=2, verbose=0, callbacks=[clock])
    return float(np.median(np.diff(moments[_STEPS:])))


def _on_disk(path: Path, images: int) -> np.ndarray:
    pixels = np.memmap(path, np.uint8, "w+", shape=(images, *SIZE))
    different = photographs(_DIFFERENT, SIZE)
    for number in range(images):
        pixels[number] = different[number % _DIFFERENT]
    return pixels


if __name__ == "__main__":
    seconds = {"ours": _ours, "notebook": _notebook}[sys.argv[1]]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds per step": seconds, "peak GB": peak}))  # for the parent process
