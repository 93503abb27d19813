"""Made-up training runs for the report's tests."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from model_store.manifest import (
    Baseline,
    Calibration,
    Candidate,
    DatasetRecord,
    EngineRecord,
    Layer,
    Parity,
    Selection,
    TrainingSettings,
)
from model_store.spec import ImageSpec
from training.judge.metrics import measure, reliability
from training.record import RunRecord, Sample


def run_record(
    labels: Sequence[str] = ("cat", "dog"),
    *,
    size: tuple[int, int] = (28, 28),
    images: int = 300,
    epochs: int = 12,
    skill: float = 4.0,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RunRecord:
    """Return a run over `labels`; a higher `skill` makes fewer mistakes.

    `settings` are some of those of training, and `changes` other fields, that are not the usual.
    """
    rng = np.random.default_rng(1)
    truth = rng.integers(0, len(labels), images)
    logits = rng.normal(size=(images, len(labels))) + skill * np.eye(len(labels))[truth]
    after, before = (softmax(z, axis=1).astype(np.float32) for z in (logits, 2 * logits))
    is_right = after.argmax(axis=1) == truth

    def samples(chosen: NDArray[np.bool_]) -> list[Sample]:
        return [
            Sample(f"test/{labels[t]}/{i:04}.png", _drawing(rng, size, t), t, after[i])
            for i, t in ((i, int(truth[i])) for i in np.flatnonzero(chosen)[:12])
        ]

    fields: dict[str, Any] = {
        "name": "pets",
        "labels": tuple(labels),
        "spec": ImageSpec.for_size(*size),
        "layers": _layers(size, len(labels)),
        "summary": 'Model: "sequential"\n│ dense (Dense) │ (None, 512) │',
        "settings": TrainingSettings(
            hidden=(512, 512),
            dropout=0.2,
            augmentation="flips+shifts",
            pool=1,
            selection=_selection(),
            ended=f"All {epochs} epochs were run.",
            epochs=epochs,
            best_epoch=max(1, epochs - 2),
            batch_size=32,
            learning_rate=1e-3,
            weight_decay=1e-4,
            seed=1,
            seconds=754.2,
        ).model_copy(update=settings),
        "calibration": Calibration(
            temperature=2.0,
            ece_before=reliability(truth, before).ece,
            ece_after=reliability(truth, after).ece,
        ),
        "dataset": DatasetRecord(
            fingerprint="ab" * 32,
            images={"train": 1854, "val": 200, "test": images},
            unreadable=1,
        ),
        "libraries": {"keras": "3.15.1", "tensorflow": "2.21.0"},
        "engines": _engines(),
        "history": _history(epochs),
        "test": measure("test", labels, truth, after),
        "truth": truth,
        "probabilities": after,
        "uncalibrated": before,
        "class_samples": {
            label: np.stack([_drawing(rng, size, index) for _ in range(4)])
            for index, label in enumerate(labels)
        },
        "augmented": np.array([[_drawing(rng, size, row)] * 7 for row in range(3)]),
        "right": samples(is_right),
        "wrong": samples(~is_right),
        "findings": ["3 images occur twice; their copies stay on the same side of the split."],
        "seconds": {"reading": 3.2, "training": 754.2, "exporting": 41.0},
        "images_in_report": True,
        "default_engine": "openvino-int8",
        "comparison": None,
        "interrupted": False,
        "created_at": datetime(2026, 3, 1, tzinfo=UTC),
        "baselines": [
            Baseline(name="logistic regression", accuracy=0.8125, loss=0.4, p_value=0.003)
        ],
    }
    return RunRecord(**(fields | changes))


def _selection() -> Selection:
    tried = [
        ("first look, 7 x 7", 4, "none", 0.5),
        ("first look, 7 x 7", 4, "flips+shifts", 0.4),
        ("longer, 14 x 14", 2, "flips+shifts", 0.21),
        ("longer, 14 x 14", 2, "none", 0.33),
        ("resolution, 14 x 14", 2, "flips+shifts", 0.215),
        ("resolution, 28 x 28", 1, "flips+shifts", 0.125),
    ]
    measured = {"steps": 600, "trials": 4, "images": 400, "loss_error": 0.015, "accuracy": 0.9}
    return Selection(
        pool=1,
        augmentation="flips+shifts",
        reason="The finest resolution that was tried is the best.",
        candidates=tuple(
            Candidate(stage=stage, pool=pool, augmentation=name, loss=loss, **measured)
            for stage, pool, name, loss in tried
        ),
    )


def _drawing(rng: np.random.Generator, size: tuple[int, int], kind: int) -> NDArray[np.uint8]:
    """Draw a disc of rings on noise; `kind` sets how many."""
    y, x = np.ogrid[: size[0], : size[1]]
    middle = np.array(size) / 2 + rng.normal(0, 1, 2)
    radius = np.hypot((y - middle[0]) / size[0], (x - middle[1]) / size[1])
    rings = 127 + 120 * np.cos(radius * (10 + 3 * kind)) * (radius < 0.5)
    return (rings + rng.normal(0, 6, size)).clip(0, 255).astype(np.uint8)


def _layers(size: tuple[int, int], n_labels: int) -> tuple[Layer, ...]:
    inputs = size[0] * size[1]
    rows: list[tuple[str, tuple[int, ...], int]] = [
        ("Rescaling", size, 0),
        ("Flatten", (inputs,), 0),
        ("Dense", (512,), inputs * 512 + 512),
        ("Softmax", (n_labels,), 0),
    ]
    return tuple(
        Layer(name=kind.lower(), kind=kind, output_shape=(None, *shape), parameters=n)
        for kind, shape, n in rows
    )


def _engines() -> dict[str, EngineRecord]:
    parity = Parity(images=64, top1_agreement=1.0, mean_abs_dp=0.0004, max_abs_dp=0.011)
    measured = {"latency_ms": {"1": 3.8, "8": 10.0}, "max_batch": 8, "probe_tolerance": 0.02}
    return {
        "keras": EngineRecord(file="model.keras", parity=None, **measured),
        "openvino-int8": EngineRecord(file="engine/int8.xml", parity=parity, **measured),
    }


def _history(epochs: int) -> dict[str, list[float]]:
    loss = [0.9 * 0.8**epoch + 0.02 for epoch in range(epochs)]
    return {
        "loss": loss,
        "accuracy": [1 - value / 2 for value in loss],
        "val_loss": [1.1 * value + 0.03 for value in loss],
        "val_accuracy": [0.985 - value / 2 for value in loss],
    }
