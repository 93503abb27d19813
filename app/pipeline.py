"""An image's way: decode (thread) → place in the queue → labelled answer. Nothing of HTTP."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.batching.queue import Place
from app.errors import DeadlineExpired, NothingToSee
from app.loaded_model import LoadedModel
from app.received import check_received
from model_store.engines import Inputs
from model_store.pixels.preprocessing import preprocess

T = TypeVar("T")

# One batch request keeps at most this share of a full batch in the queue, so that single requests
# find room in every batch.
BATCH_SHARE = 0.5

# What an image passes through, in order.
STAGES = ("decode", "queue", "inference")

# Gives the (H, W) pixels of one image. Called once, on a decode thread, so that pixels exist only
# while they are on their way.
MakePixels = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Timings:
    """When one image passed from stage to stage, in `time.monotonic()` seconds."""

    accepted_at: float
    decode_at: float
    queued_at: float
    started_at: float
    finished_at: float

    @property
    def stages_s(self) -> tuple[float, float, float]:
        """Seconds in each of `STAGES`; waiting for a thread counts as queue."""
        waited_s = (self.decode_at - self.accepted_at) + (self.started_at - self.queued_at)
        return self.queued_at - self.decode_at, waited_s, self.finished_at - self.started_at


@dataclass(frozen=True, slots=True)
class Answer:
    """Probabilities of one image, with the model that computed them."""

    served: LoadedModel
    probabilities: NDArray[np.float32]  # (labels,), in the order of served.labels
    is_unusual: bool | None  # far from every training image; None: the bundle cannot tell
    timings: Timings
    batch_size: int


class Pipeline:
    """Answers images with probabilities. Callers hold the model's lease.

    Args:
        decoders: threads that decode, shared by all models.
        deadline_s: from the complete upload of an image to its result.
        max_pixels: what an image's header may announce.
    """

    def __init__(self, *, decoders: int, deadline_s: float, max_pixels: int) -> None:
        self._threads = ThreadPoolExecutor(decoders, thread_name_prefix="decode")
        # Batch requests decode no more at once than there are threads. So nothing of theirs waits
        # for a thread, and a single image waits for one of theirs, not for all.
        self._batch_turns = asyncio.Semaphore(decoders)
        self._deadline_s = deadline_s
        self._max_pixels = max_pixels

    def close(self) -> None:
        """Finish what was submitted, then end the threads."""
        self._threads.shutdown()

    def check(self, model: LoadedModel) -> None:
        """Refuse what would miss its deadline; cheap, so it is asked before the body is read.

        Raises:
            Overloaded: with the seconds after which the queue will be short enough.
        """
        model.queue.check(time.monotonic() + self._deadline_s)

    def predict(self, model: LoadedModel, data: bytes) -> Awaitable[Answer]:
        """Return the probabilities of one encoded image.

        Raises:
            EmptyUpload, MalformedUpload, ImageError: the bytes cannot become pixels.
            NothingToSee: they show no ink.
            Overloaded, DeadlineExpired: there was no time for it.
            ComputeError: the engine failed.
        """
        return self._run(model, self.decoding(model, data), nullcontext(), is_incoming=True)

    async def predict_many(
        self, model: LoadedModel, images: Sequence[MakePixels], *, are_incoming: bool = True
    ) -> list[Answer | Exception]:
        """Return one answer or error per image, in order.

        Each image's deadline begins when its turn comes.

        Args:
            model: that answers.
            images: what makes the pixels of each.
            are_incoming: whether they are a caller's, and so compared with training's.

        Raises:
            Overloaded: there is no time even for the first.
        """
        self.check(model)
        places = asyncio.Semaphore(max(1, round(model.max_batch * BATCH_SHARE)))

        async def one(make_pixels: MakePixels) -> Answer | Exception:
            async with places:
                try:
                    return await self._run(
                        model, make_pixels, self._batch_turns, is_incoming=are_incoming
                    )
                except Exception as error:  # one bad image must not take the others' answers
                    return error

        return await asyncio.gather(*map(one, images))

    def decoding(self, model: LoadedModel, data: bytes) -> MakePixels:
        """Return what makes the visible pixels of an encoded image."""
        return partial(self.visible_pixels, model, data)

    def pixels(self, model: LoadedModel, data: bytes) -> NDArray[np.uint8]:
        """Return the (H, W) pixels of an encoded image. Slow; not for the event loop's thread.

        Raises:
            EmptyUpload, MalformedUpload: not the bytes of an image at all.
            ImageError: they cannot become pixels.
        """
        check_received(data)
        return preprocess(data, model.spec, max_pixels=self._max_pixels)

    def visible_pixels(self, model: LoadedModel, data: bytes) -> NDArray[np.uint8]:
        """Do what `pixels` does, where the model can see something in them.

        Raises:
            NothingToSee: a model of ink would answer blank paper with a guess.
        """
        pixels = self.pixels(model, data)
        if model.spec.ink is not None and not pixels.any():
            raise NothingToSee(
                "Expected a picture of ink on paper. Received: one in which nothing stands out; "
                f"transparency counts as grey level {model.spec.alpha_background} of 255"
            )
        return pixels

    def in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Return what `work` does on a decode thread, or raise what it raises."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _run(
        self,
        model: LoadedModel,
        make_pixels: MakePixels,
        turn: AbstractAsyncContextManager[object],
        *,
        is_incoming: bool,
    ) -> Answer:
        with model.queue.place(time.monotonic() + self._deadline_s) as place:
            try:
                async with asyncio.timeout(self._deadline_s), turn:
                    work = partial(_decode, place, model, make_pixels, is_incoming=is_incoming)
                    inputs, is_unusual = await self.in_thread(work)
            except TimeoutError as error:
                raise DeadlineExpired("The deadline passed while the image waited.") from error
            probabilities = await place.compute(inputs)
        return Answer(model, probabilities, is_unusual, _timings(place), place.batch_size)


def _decode(
    place: Place, model: LoadedModel, make_pixels: MakePixels, *, is_incoming: bool
) -> tuple[Inputs, bool | None]:
    """Return what the engine takes of an image, and whether it is unusual."""
    place.decode_at = time.monotonic()
    pixels = make_pixels()
    is_unusual = model.observe(pixels) if is_incoming else None
    inputs = model.inputs(pixels)
    place.decoded_at = time.monotonic()
    return inputs, is_unusual


def _timings(place: Place) -> Timings:
    return Timings(
        accepted_at=place.entered_at,
        decode_at=place.decode_at,
        queued_at=place.decoded_at,
        started_at=place.started_at,
        finished_at=place.finished_at,
    )
