"""The decode threads, and how requests with many images share them with others."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from patience import PATIENCE_S

from app.batching.queue import BatchQueue
from app.errors import DeadlineExpired
from app.pipeline import MakePixels, Pipeline

SHAPE = (2, 2)


class Model:
    """Answers 1 and 0."""

    max_batch = 64

    def __init__(self) -> None:
        self.queue = BatchQueue(
            lambda images: np.tile(np.float32([1, 0]), (len(images), 1)),
            SHAPE,
            max_batch=self.max_batch,
            capacity=200,
        )

    def inputs(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pixels

    def observe(self, _: NDArray[np.uint8]) -> bool | None:
        return None


@pytest.fixture
def model() -> Iterator[Any]:
    model = Model()
    yield model
    assert model.queue.close(PATIENCE_S)


@pytest.fixture
async def pipeline() -> AsyncIterator[Pipeline]:
    pipeline = Pipeline(decoders=1, deadline_s=60, max_pixels=100)
    yield pipeline
    pipeline.close()


def noting(order: list[str], name: str, go: threading.Event | None = None) -> MakePixels:
    def make_pixels() -> NDArray[np.uint8]:
        if go is not None:
            assert go.wait(PATIENCE_S)
        order.append(name)
        return np.zeros(SHAPE, np.uint8)

    return make_pixels


async def test_many_slow_images_delay_a_single_one_by_one_of_them(pipeline, model):
    order: list[str] = []
    go = threading.Event()
    batches = [
        asyncio.create_task(pipeline.predict_many(model, [noting(order, name, go)] * 20))
        for name in ("first", "second")
    ]
    while model.queue.depth < 40:
        await asyncio.sleep(0)
    single = pipeline.in_thread(noting(order, "single"))
    await asyncio.sleep(0)
    go.set()
    await single
    answers = await asyncio.gather(*batches)

    assert order.index("single") <= 1
    assert [len(one) for one in answers] == [20, 20]
    assert not any(isinstance(answer, Exception) for one in answers for answer in one)


async def test_a_decoder_that_takes_longer_than_the_deadline_is_not_waited_for(model):
    pipeline = Pipeline(decoders=1, deadline_s=1, max_pixels=100)
    go = threading.Event()
    order: list[str] = []
    late = asyncio.create_task(pipeline.predict_many(model, [noting(order, "late", go)]))
    queued = asyncio.create_task(pipeline.predict_many(model, [noting(order, "queued")]))
    outcomes = [*await late, *await queued]
    go.set()
    pipeline.close()

    assert [type(outcome) for outcome in outcomes] == [DeadlineExpired, DeadlineExpired]
    assert order == ["late"]  # nobody waited for the other any more
    assert model.queue.depth == 0


async def test_what_was_submitted_is_finished_at_the_end(pipeline):
    order: list[str] = []
    jobs = [pipeline.in_thread(noting(order, "done")) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(pipeline.close)
    await asyncio.gather(*jobs)

    assert len(order) == 50
