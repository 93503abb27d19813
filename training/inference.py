"""Many images through a bundle: decoding in threads, one batch ahead of the engine."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Model
from model_store.cpu import available_cpus
from model_store.errors import ImageError
from model_store.preprocessing import preprocess
from training.sources import Source

BATCH_SIZE = 32
_BATCHES_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one image: `probabilities` or `error`, never both."""

    index: int
    probabilities: NDArray[np.float32] | None  # (labels,)
    error: str | None


def predict_all(
    model: Model, source: Source, chosen: Iterator[int], advance: Callable[[int], None]
) -> Iterator[Prediction]:
    """Yield a prediction for each of the `chosen` images of `source`, in that order."""
    with ThreadPoolExecutor(available_cpus()) as pool:
        ahead: deque[list[tuple[int, Future[NDArray[np.uint8] | str]]]] = deque()
        while True:
            while len(ahead) < _BATCHES_AHEAD and (part := list(islice(chosen, BATCH_SIZE))):
                ahead.append([(i, pool.submit(_decode, model, source, i)) for i in part])
            if not ahead:
                return
            batch = [(i, future.result()) for i, future in ahead.popleft()]
            yield from _predict_batch(model, batch)
            advance(len(batch))


def _decode(model: Model, source: Source, index: int) -> NDArray[np.uint8] | str:
    try:
        return preprocess(source.encoded(index), model.spec)
    except ImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _predict_batch(
    model: Model, batch: list[tuple[int, NDArray[np.uint8] | str]]
) -> Iterator[Prediction]:
    images = [pixels for _, pixels in batch if not isinstance(pixels, str)]
    rows = iter(model.predict(np.stack(images)) if images else ())
    for index, pixels in batch:
        if isinstance(pixels, str):
            yield Prediction(index, None, pixels)
        else:
            yield Prediction(index, next(rows), None)
