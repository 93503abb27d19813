"""What training and its data leave to be published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_store.bundle import Model
from model_store.sources import Source
from model_store.spec import ImageSpec
from training.data.dataset import Dataset
from training.learn.checkpoint import TrainedRun
from training.learn.task import Architecture, Floats


@dataclass(frozen=True)
class FinishedRun:
    """One training run with its data, before anything of it is published."""

    name: str
    source: Source
    data: Dataset
    spec: ImageSpec
    what: Architecture
    run: TrainedRun
    baselines: Mapping[str, Floats]  # name -> (test images, labels) probabilities
    current: Model | None  # the version that serves now, if it has the same labels
    findings: Sequence[str]
    seconds: Mapping[str, float]
    images_in_bundle: bool  # False: neither the report nor the probes hold any of the images
