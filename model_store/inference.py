"""Many images through a bundle: decoding in threads, one batch ahead of the engine."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Model
from model_store.cpu import available_cpus
from model_store.engines import Inputs
from model_store.errors import ImageError, NoImages
from model_store.pixels.preprocessing import preprocess
from model_store.sources import Source

# A large first kernel is read once per batch; beyond this there is little left to share.
BATCH_SIZE = 64
_BATCHES_AHEAD = 3

Advance = Callable[[int], None]  # called with the number of images that were done


class Images(Protocol):
    """What is needed of a `Source` to predict."""

    def encoded(self, index: int) -> bytes:
        """Return image `index` as `preprocess` takes it; several threads may call.

        Raises:
            OSError: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one image: `probabilities` or `error`, never both."""

    index: int
    probabilities: NDArray[np.float32] | None  # (labels,)
    error: str | None


def predict_all(
    model: Model,
    source: Images,
    chosen: Iterator[int],
    advance: Advance,
    threads: int | None = None,
) -> Iterator[Prediction]:
    """Yield a prediction for each of the `chosen` images of `source`, in that order.

    Args:
        model: an opened bundle.
        source: where the images are.
        chosen: which of them.
        advance: called after every batch.
        threads: that decode; None: one for each CPU that this process may use.
    """
    with ThreadPoolExecutor(threads or available_cpus()) as pool:
        ahead: deque[tuple[list[int], list[Future[Inputs | str]]]] = deque()
        while True:
            while len(ahead) < _BATCHES_AHEAD and (part := list(islice(chosen, BATCH_SIZE))):
                ahead.append((part, [pool.submit(_inputs, model, source, i) for i in part]))
            if not ahead:
                return
            part, decoded = ahead.popleft()
            yield from _predict_batch(model, part, [future.result() for future in decoded])
            advance(len(part))


def answers_of(
    model: Model, source: Source, chosen: Sequence[int], advance: Advance
) -> tuple[dict[int, NDArray[np.float32]], dict[str, str]]:
    """Return the probabilities of each image by its index, and why others cannot be read, by name.

    Raises:
        NoImages: nothing can be read.
    """
    answers: dict[int, NDArray[np.float32]] = {}
    unreadable: dict[str, str] = {}
    for prediction in predict_all(model, source, iter(chosen), advance):
        if prediction.probabilities is None:
            unreadable[source.items[prediction.index].name] = str(prediction.error)
        else:
            answers[prediction.index] = prediction.probabilities
    if not answers:
        raise NoImages(f"Expected readable images. Received: {len(unreadable)} others")
    return answers, unreadable


def _inputs(model: Model, source: Images, index: int) -> Inputs | str:
    """Return what the engine takes of one image, or what is wrong with it."""
    try:
        pixels = preprocess(source.encoded(index), model.spec)
    except ImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return np.asarray(model.inputs(pixels[np.newaxis])[0])


def _predict_batch(
    model: Model, indices: Sequence[int], decoded: Sequence[Inputs | str]
) -> Iterator[Prediction]:
    good = [inputs for inputs in decoded if not isinstance(inputs, str)]
    rows = iter(model.infer(np.stack(good)) if good else ())
    for index, inputs in zip(indices, decoded, strict=True):
        wrong = inputs if isinstance(inputs, str) else None
        yield Prediction(index, next(rows) if wrong is None else None, wrong)
