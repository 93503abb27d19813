"""What is refused before it costs anything."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.batching import BatchQueue
from app.costs import CostModel
from app.errors import Overloaded
from app.serving import Serving


def test_waiting_to_be_decoded_and_to_be_computed_add_up() -> None:
    queue = BatchQueue(
        lambda images: np.zeros((len(images), 2), np.float32),
        (2, 2),
        lambda _: None,
        max_batch=4,
        capacity=4,
        costs=CostModel(fixed_s=0.3, per_image_s=0.0),
    )
    pool: Any = SimpleNamespace(expected_s=lambda: 0.6, backlog=1)
    model: Any = SimpleNamespace(queue=queue)

    def serving(deadline_s: float) -> Serving:
        return Serving(pool, deadline_s=deadline_s, stuck_s=1, max_pixels=100)

    serving(1.3).admit(model)
    with pytest.raises(Overloaded):
        serving(1.1).admit(model)
    queue.close()


def test_those_just_let_in_stand_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.serving.time.monotonic", lambda: now)
    asked: list[int] = []
    queue: Any = SimpleNamespace(admit=lambda _, ahead: asked.append(ahead))
    pool: Any = SimpleNamespace(expected_s=lambda: 0.0, backlog=5)
    model: Any = SimpleNamespace(queue=queue)
    serving = Serving(pool, deadline_s=1, stuck_s=1, max_pixels=100)

    serving.let_in(model)
    serving.let_in(model)
    serving.admit(model)  # one of them, in the application
    now += 0.1  # too long: they are not waited for
    serving.let_in(model)

    assert asked == [5, 6, 5, 5]
