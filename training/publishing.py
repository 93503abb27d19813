"""From trained weights to the contents of a bundle: fold, calibrate, export, test once, report."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_store.assembling import Assembled, assemble
from model_store.libraries import library_versions
from model_store.manifest import BundleContents, Calibration, Metrics, Reference, TrainingSettings
from training.augmentation import augmentation
from training.dataset import Dataset, LabelledImages
from training.finished import FinishedRun
from training.metrics import expected_calibration_error, fit_temperature, measure
from training.network import build_network, fold_into_published
from training.recipe import Recipe
from training.record import RunRecord, Sample
from training.report import write_report
from training.verdict import compare_with_chance, refuse_chance

_EXPORT_IMAGES = 512
_PROBES = 8
_REFERENCE_IMAGES = 1024
_GALLERY = 12
_SAMPLES_PER_CLASS = 6
_AUGMENTED_ROWS, _AUGMENTED_COLUMNS = 4, 7


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the one look at the test split gave."""

    metrics: Metrics
    calibration: Calibration
    probabilities: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]


def write_bundle(finished: FinishedRun, folder: Path) -> BundleContents:
    """Write model, engines, probes and report into `folder`; read the test split, once.

    Raises:
        NotLearning: on images it never saw, the model is no better than the majority class.
    """
    data, run = finished.data, finished.run
    temperature = fit_temperature(run.val_logits, data.val.truth)
    model = _published_model(finished, temperature)
    test_probabilities = _predict(model, data.images(data.test))
    _refuse_chance(data, _softmax(run.val_logits / temperature), test_probabilities)
    summary = _summary(model)
    assembled = _assemble(finished, model, folder)
    outcome = _outcome(data, test_probabilities, temperature)
    record = _record(finished, assembled, outcome, summary)
    write_report(folder / "report.html", record)
    return BundleContents(
        labels=tuple(data.labels),
        image=finished.spec,
        layers=assembled.layers,
        engines=assembled.engines,
        default_engine=assembled.default_engine,
        probes=assembled.probes,
        training=record.settings,
        calibration=outcome.calibration,
        metrics=outcome.metrics,
        dataset=data.record,
        reference=_reference(data.images(data.train)),
    )


def _outcome(data: Dataset, probabilities: NDArray[np.float32], temperature: float) -> _Outcome:
    metrics = measure("test", data.labels, data.test.truth, probabilities)
    uncalibrated = _with_temperature(probabilities, 1 / temperature)
    calibration = Calibration(
        temperature=temperature,
        ece_before=expected_calibration_error(data.test.truth, uncalibrated),
        ece_after=metrics.ece,
    )
    return _Outcome(metrics, calibration, probabilities, uncalibrated)


def _published_model(finished: FinishedRun, temperature: float) -> keras.Sequential:
    spec, recipe = finished.spec, finished.recipe
    model = build_network(
        spec.height,
        spec.width,
        len(finished.data.labels),
        recipe.hidden,
        recipe.dropout,
        recipe.seed,
    )
    weights = fold_into_published(finished.run.weights(), finished.run.inputs, temperature)
    for variable, value in zip(model.weights, weights, strict=True):
        variable.assign(value)
    return model


def _predict(model: keras.Model, images: LabelledImages, batch: int = 32) -> NDArray[np.float32]:
    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]  # ships no types
    def forward(pixels: tf.Tensor) -> tf.Tensor:
        return model(pixels, training=False)

    everything = np.arange(len(images))
    parts = [everything[k : k + batch] for k in range(0, len(everything), batch)]
    return np.concatenate([forward(tf.constant(images.read(part))).numpy() for part in parts])


def _refuse_chance(data: Dataset, val: NDArray[np.float32], test: NDArray[np.float32]) -> None:
    counts = np.bincount(data.train.truth, minlength=len(data.labels)).astype(np.float64)
    comparison = compare_with_chance(
        np.concatenate([data.val.truth, data.test.truth]),
        np.concatenate([val, test]),
        counts / counts.sum(),
    )
    refuse_chance(comparison, data.labels[comparison.majority])


def _assemble(finished: FinishedRun, model: keras.Model, folder: Path) -> Assembled:
    data = finished.data
    val = data.images(data.val)
    chosen = _spread(len(val), _EXPORT_IMAGES)
    probes = data.val.indices[_spread(len(val), _PROBES if finished.images_in_bundle else 0)]
    return assemble(
        folder,
        model,
        finished.spec,
        data.labels,
        val.read(chosen),
        [finished.source.encoded(int(i)) for i in probes],
    )


def _settings(finished: FinishedRun) -> TrainingSettings:
    recipe, run = finished.recipe, finished.run
    return TrainingSettings(
        hidden=tuple(recipe.hidden),
        dropout=recipe.dropout,
        augmentation=recipe.augmentation,
        epochs=len(run.history["loss"]),
        best_epoch=run.best_epoch,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        seed=recipe.seed,
        seconds=run.seconds,
    )


def _reference(images: LabelledImages) -> Reference:
    chosen = _spread(len(images), _REFERENCE_IMAGES)
    pixels, means = np.zeros(16), np.zeros(16)
    for part in (chosen[k : k + 64] for k in range(0, len(chosen), 64)):
        batch = images.read(part)
        pixels += np.bincount(batch.ravel() >> 4, minlength=16)
        bins = batch.mean(axis=(1, 2)).astype(np.uint8) >> 4
        means += np.bincount(bins, minlength=16)
    return Reference(
        pixel_histogram=tuple((pixels / pixels.sum()).tolist()),
        image_mean_histogram=tuple((means / means.sum()).tolist()),
    )


def _record(
    finished: FinishedRun, assembled: Assembled, outcome: _Outcome, summary: str
) -> RunRecord:
    data, run = finished.data, finished.run
    return RunRecord(
        name=finished.name,
        labels=data.labels,
        spec=finished.spec,
        layers=assembled.layers,
        summary=summary,
        settings=_settings(finished),
        calibration=outcome.calibration,
        dataset=data.record,
        libraries=library_versions(),
        engines=assembled.engines,
        default_engine=assembled.default_engine,
        history=run.history,
        test=outcome.metrics,
        truth=data.test.truth,
        probabilities=outcome.probabilities,
        uncalibrated=outcome.uncalibrated,
        class_samples=_class_samples(data),
        augmented=_augmented(data, finished.recipe),
        right=_samples(data, outcome.probabilities, right=True),
        wrong=_samples(data, outcome.probabilities, right=False),
        findings=finished.findings,
        seconds={**finished.seconds, "training": run.seconds},
        images_in_report=finished.images_in_bundle,
        interrupted=run.interrupted,
        created_at=datetime.now(UTC),
    )


def _class_samples(data: Dataset) -> dict[str, NDArray[np.uint8]]:
    images = data.images(data.train)
    return {
        label: images.read(_of_label(data.train.truth, k)) for k, label in enumerate(data.labels)
    }


def _of_label(truth: NDArray[np.int64], label: int) -> NDArray[np.int64]:
    members = np.flatnonzero(truth == label)
    return members[_spread(len(members), _SAMPLES_PER_CLASS)]


def _augmented(data: Dataset, recipe: Recipe) -> NDArray[np.uint8]:
    """Return (rows, 1 + k, H, W): an original, then k augmentations of it."""
    augment = augmentation(recipe.augmentation)
    random = np.random.default_rng(recipe.seed)
    originals = data.images(data.train).read(_spread(len(data.train), _AUGMENTED_ROWS))
    columns = [originals] + [augment(originals, random) for _ in range(_AUGMENTED_COLUMNS - 1)]
    return np.stack(columns, axis=1)


def _samples(data: Dataset, probabilities: NDArray[np.float32], *, right: bool) -> list[Sample]:
    """Return right predictions spread over the split, or the most confidently wrong ones."""
    predicted = probabilities.argmax(axis=1)
    chosen = np.flatnonzero((predicted == data.test.truth) == right)
    if right:
        chosen = chosen[_spread(len(chosen), _GALLERY)]
    else:
        chosen = chosen[np.argsort(-probabilities[chosen].max(axis=1))][:_GALLERY]
    pixels = data.images(data.test).read(chosen)
    return [
        Sample(data.test.items[i].name, image, int(data.test.truth[i]), probabilities[i])
        for i, image in zip(chosen.tolist(), pixels, strict=True)
    ]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` indices below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _with_temperature(
    probabilities: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Return what dividing the logits behind `probabilities` by `temperature` would give."""
    return _softmax(np.log(np.maximum(probabilities, np.float32(1e-30))) / np.float32(temperature))


def _summary(model: keras.Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    return "\n".join(lines)
