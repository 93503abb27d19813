"""What one training run leaves behind, to be published and to be reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Model
from model_store.manifest import (
    Baseline,
    Calibration,
    Comparison,
    DatasetRecord,
    EngineName,
    EngineRecord,
    Layer,
    Metrics,
    TrainingSettings,
)
from model_store.sources import Source
from model_store.spec import ImageSpec
from training.data.dataset import Dataset
from training.learn.checkpoint import TrainedRun


@dataclass(frozen=True)
class FinishedRun:
    """One training run with its data, before anything of it is published."""

    name: str
    source: Source
    data: Dataset
    run: TrainedRun
    baselines: Mapping[str, NDArray[np.float32]]  # name -> (test images, labels) probabilities
    current: Model | None  # the version that serves now, if it has the same labels
    findings: Sequence[str]
    seconds: Mapping[str, float]
    images_in_bundle: bool  # False: neither the report nor the probes hold any of the images


@dataclass(frozen=True, slots=True)
class Sample:
    """One test image with what the model said of it."""

    path: str
    pixels: NDArray[np.uint8]  # (H, W)
    truth: int  # index into labels
    probabilities: NDArray[np.float32]  # (labels,)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything the report shows; arrays are small samples, never the data set."""

    name: str
    labels: Sequence[str]
    spec: ImageSpec
    layers: Sequence[Layer]
    summary: str  # model.summary() as text
    settings: TrainingSettings
    calibration: Calibration
    dataset: DatasetRecord
    libraries: Mapping[str, str]
    engines: Mapping[EngineName, EngineRecord]
    history: Mapping[str, Sequence[float]]  # loss, accuracy, val_loss, val_accuracy per epoch
    test: Metrics
    truth: NDArray[np.int64]  # (N,) of the test split
    probabilities: NDArray[np.float32]  # (N, labels), calibrated
    uncalibrated: NDArray[np.float32]  # (N, labels)
    class_samples: Mapping[str, NDArray[np.uint8]]  # label -> (k, H, W) training images
    augmented: NDArray[np.uint8]  # (rows, 1 + k, h, w): block means, then k augmentations of them
    right: Sequence[Sample]
    wrong: Sequence[Sample]  # most confidently wrong first
    findings: Sequence[str]  # one sentence each, from check
    seconds: Mapping[str, float]  # stage -> wall time
    images_in_report: bool  # False: galleries are left out, the bundle holds none of the images
    default_engine: EngineName
    baselines: Sequence[Baseline]
    comparison: Comparison | None
    interrupted: bool  # stopped by hand before the last epoch that was asked for
    created_at: datetime
