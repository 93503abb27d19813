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
from model_store.pixels.preprocessing import preprocess
from model_store.sources import Source

# A large first kernel is read once per batch; beyond this there is little left to share.
BATCH_SIZE = 64
_BATCHES_AHEAD = 3

Advance = Callable[[int], None]  # called with the number of images that were done


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one image: `probabilities` or `error`, never both."""

    index: int
    probabilities: NDArray[np.float32] | None  # (labels,)
    error: str | None


def predict_all(
    model: Model, source: Source, chosen: Iterator[int], advance: Advance
) -> Iterator[Prediction]:
    """Yield a prediction for each of the `chosen` images of `source`, in that order."""
    shape = (BATCH_SIZE, model.spec.height, model.spec.width)
    spare = [np.empty(shape, np.uint8) for _ in range(_BATCHES_AHEAD)]
    with ThreadPoolExecutor(available_cpus()) as pool:
        ahead: deque[_Batch] = deque()
        while True:
            while spare and (part := list(islice(chosen, BATCH_SIZE))):
                pixels = spare.pop()
                decoded = [
                    pool.submit(_decode, model, source, index, out)
                    for index, out in zip(part, pixels, strict=False)
                ]
                ahead.append(_Batch(part, pixels, decoded))
            if not ahead:
                return
            batch = ahead.popleft()
            yield from _predict_batch(model, batch)
            spare.append(batch.pixels)
            advance(len(batch.indices))


@dataclass(frozen=True, slots=True)
class _Batch:
    indices: list[int]
    pixels: NDArray[np.uint8]  # (BATCH_SIZE, H, W), reused: new memory costs more than a copy
    decoded: list[Future[str | None]]  # to what was wrong with the image


def _decode(model: Model, source: Source, index: int, out: NDArray[np.uint8]) -> str | None:
    try:
        preprocess(source.encoded(index), model.spec, out=out)
    except ImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _predict_batch(model: Model, batch: _Batch) -> Iterator[Prediction]:
    errors = [future.result() for future in batch.decoded]
    good = [row for row, error in enumerate(errors) if error is None]
    # Without a copy while nothing is missing.
    images = batch.pixels[: len(good)] if len(good) == len(errors) else batch.pixels[good]
    rows = iter(model.predict(images) if good else ())
    for index, error in zip(batch.indices, errors, strict=True):
        yield Prediction(index, next(rows) if error is None else None, error)
