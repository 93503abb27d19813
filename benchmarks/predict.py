"""Offline prediction: do decoding and inference overlap?"""

import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.report import Goal, Report
from benchmarks.samples import jpegs, photographs
from model_store.bundle import Bundle, Model, open_model
from model_store.cpu import available_cpus
from model_store.preprocessing import preprocess
from training.inference import BATCH_SIZE, predict_all
from training.sources import Source, open_unlabelled

_DIFFERENT = 16


def run(bundle: Bundle, images: int) -> Report:
    """Measure images per second: decoding alone, inference alone, and both as `predict` does."""
    size = (bundle.manifest.image.height, bundle.manifest.image.width)
    model = open_model(bundle)
    with tempfile.TemporaryDirectory() as folder:
        encoded = jpegs(photographs(_DIFFERENT, size))
        for number in range(images):
            (Path(folder) / f"{number}.jpg").write_bytes(encoded[number % _DIFFERENT])
        source = open_unlabelled(Path(folder))
        decode = images / _seconds(_decoded(source, model, images))
        batch = photographs(BATCH_SIZE, size)
        model.predict(batch)
        rounds = -(-images // BATCH_SIZE)
        inference = rounds * BATCH_SIZE / _seconds(model.predict(batch) for _ in range(rounds))
        both = images / _seconds(predict_all(model, source, iter(range(images)), lambda _: None))
    model.close()
    shared = 1 / (1 / decode + 1 / inference)
    return Report(
        "predict",
        describe(),
        {
            f"Images per second, {size[0]} × {size[1]} JPEGs, {model.engine_name}": [
                {"what": "decoding alone", "images/s": decode},
                {"what": "inference alone", "images/s": inference},
                {"what": "one after the other", "images/s": shared},
                {"what": "python -m training predict", "images/s": both},
            ]
        },
        goals=[Goal("share of the slower one alone", both / min(decode, inference), 0.8, True)],
        notes=["Each alone uses every CPU, so on few CPUs the slower one alone is out of reach."],
    )


def _decoded(source: Source, model: Model, images: int) -> Iterable[object]:
    # Memory that is used again, as `predict` does it.
    pixels = np.empty((_DIFFERENT, model.spec.height, model.spec.width), np.uint8)

    def one(index: int) -> np.ndarray:
        return preprocess(source.encoded(index), model.spec, out=pixels[index % _DIFFERENT])

    with ThreadPoolExecutor(available_cpus()) as pool:
        yield from pool.map(one, range(images))


def _seconds(work: Iterable[object]) -> float:
    start = time.perf_counter()
    for _ in work:
        pass
    return time.perf_counter() - start
