"""What a training computes on: said by its process, heard by whoever started it."""

import queue
from types import SimpleNamespace
from typing import Any

import pytest

from training.learn.task import Listener
from training.learn.workers import _device, _listen


@pytest.mark.parametrize(
    ("gpus", "details", "said"),
    [
        ([], {}, "the CPU"),
        (["gpu:0", "gpu:1"], {"device_name": "NVIDIA L4"}, "NVIDIA L4"),
        (["gpu:0"], {}, "a GPU"),
    ],
)
def test_the_first_gpu_is_named_where_there_is_one(gpus, details, said):
    config = SimpleNamespace(
        list_physical_devices=lambda kind: gpus if kind == "GPU" else ["cpu:0"],
        experimental=SimpleNamespace(get_device_details=lambda gpu: details),  # noqa: ARG005
    )

    assert _device(SimpleNamespace(config=config)) == said


def test_a_training_process_is_heard_saying_it():
    told: queue.Queue[Any] = queue.Queue()
    heard: list[str] = []
    for event in (7, "NVIDIA L4", None):
        told.put(event)
    _listen(told, Listener(device=heard.append))

    assert heard == ["NVIDIA L4"]
