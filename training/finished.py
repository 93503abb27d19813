"""What training and its data leave to be published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_store.spec import ImageSpec
from training.dataset import Dataset
from training.recipe import Recipe
from training.runs import TrainedRun
from training.sources import Source


@dataclass(frozen=True)
class FinishedRun:
    """One training run with its data, before anything of it is published."""

    name: str
    source: Source
    data: Dataset
    spec: ImageSpec
    recipe: Recipe
    run: TrainedRun
    findings: Sequence[str]
    seconds: Mapping[str, float]
    images_in_bundle: bool  # False: neither the report nor the probes hold any of the images
