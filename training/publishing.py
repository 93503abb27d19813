"""From trained weights to the contents of a bundle: fold, calibrate, export, test once, report."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from model_store.comparing import compare, mcnemar
from model_store.cpu import available_cpus
from model_store.engines.keras import KerasEngine
from model_store.inference import predict_all
from model_store.libraries import library_versions
from model_store.making.assembling import assemble
from model_store.manifest import (
    Baseline,
    BundleContents,
    Calibration,
    Comparison,
    Reference,
    TrainingSettings,
)
from model_store.pixels.novelty import cell_means, describe_usual, sampled
from model_store.pixels.preprocessing import preprocess
from model_store.store.seen import seen_by, write_seen
from training.data.dataset import Split
from training.judge.chance import refuse_chance
from training.judge.metrics import fit_temperature, measure, reliability
from training.learn.augmentation import augmentation
from training.learn.checkpoint import TrainedRun
from training.learn.network import publish
from training.record import FinishedRun, RunRecord, Sample
from training.report import write_report

_EXPORT_IMAGES = 256
_PROBES = 8
_REFERENCE_IMAGES = 512
_GALLERY = 12
_SAMPLES_PER_CLASS = 6
_AUGMENTED_ROWS, _AUGMENTED_COLUMNS = 4, 7
_BATCH = 32

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def write_bundle(finished: FinishedRun, folder: Path) -> BundleContents:
    """Write model, engines, probes and report into `folder`; read the test split, once.

    Raises:
        NotLearning: on images it never saw, the model is no better than the majority class; its
            report was written all the same.
    """
    data, run, spec = finished.data, finished.run, finished.data.cache.spec
    temperature = fit_temperature(run.learned.val_logits, data.val.truth)
    model = publish(run.what, run.weights(), run.learned.inputs, temperature)
    held_out = _pixels(finished, data.val, _spread(len(data.val), _EXPORT_IMAGES))
    probes = data.val.indices[_spread(len(data.val), _PROBES if finished.images_in_bundle else 0)]
    files = [finished.source.encoded(int(i)) for i in probes]
    assembled = assemble(folder, model, spec, data.labels, held_out, files)
    record = _record(finished, model, temperature, assembled)
    write_report(folder / "report.html", record)
    _refuse_chance(finished, temperature, record.probabilities)
    write_seen(folder, (data.train.digests, data.val.digests))
    return BundleContents(
        labels=tuple(data.labels),
        image=spec,
        layers=assembled.layers,
        engines=assembled.engines,
        default_engine=assembled.default_engine,
        probes=assembled.probes,
        training=record.settings,
        calibration=record.calibration,
        metrics=record.test,
        dataset=data.record,
        reference=_reference(finished, held_out),
        baselines=tuple(record.baselines),
        comparison=record.comparison,
    )


def _baselines(finished: FinishedRun, right: NDArray[np.bool_]) -> Iterator[Baseline]:
    data = finished.data
    for name, probabilities in finished.baselines.items():
        metrics = measure("test", data.labels, data.test.truth, probabilities)
        theirs = probabilities.argmax(axis=1) == data.test.truth
        p_value = mcnemar(int((right & ~theirs).sum()), int((theirs & ~right).sum()))
        yield Baseline(name=name, accuracy=metrics.accuracy, loss=metrics.loss, p_value=p_value)


def _comparison(finished: FinishedRun, right: NDArray[np.bool_]) -> Comparison | None:
    """Compare with the version that serves, on the test images that it was not trained on."""
    current, test = finished.current, finished.data.test
    if current is None:
        return None
    seen = seen_by(current.bundle)
    fresh = np.ones(len(test), bool) if seen is None else ~np.isin(test.digests, seen)
    chosen = iter(test.indices[fresh].tolist())
    answers = [
        -1 if p.probabilities is None else int(p.probabilities.argmax())
        for p in predict_all(current, finished.source, chosen, lambda _: None)
    ]
    return compare(current.version, np.array(answers, np.int64) == test.truth[fresh], right[fresh])


def _pixels(finished: FinishedRun, split: Split, chosen: NDArray[np.int64]) -> Pixels:
    """Return (n, H, W): the `chosen` images of a split as the service will see them."""
    spec = finished.data.cache.spec
    images = np.empty((len(chosen), spec.height, spec.width), np.uint8)

    def decode(row: int) -> None:
        index = int(split.indices[chosen[row]])
        preprocess(finished.source.encoded(index), spec, out=images[row])

    with ThreadPoolExecutor(available_cpus()) as pool:
        list(pool.map(decode, range(len(chosen))))
    return images


def _batches(count: int) -> Iterator[NDArray[np.int64]]:
    everything = np.arange(count)
    return (everything[k : k + _BATCH] for k in range(0, count, _BATCH))


def _predict(model: keras.Model, finished: FinishedRun, split: Split) -> Floats:
    engine = KerasEngine(model)
    parts = [engine.predict(_pixels(finished, split, part)) for part in _batches(len(split))]
    engine.close()
    return np.concatenate(parts)


def _refuse_chance(finished: FinishedRun, temperature: float, test: Floats) -> None:
    data = finished.data
    val = softmax(finished.run.learned.val_logits / temperature, axis=1)
    truth = np.concatenate([data.val.truth, data.test.truth])
    frequencies = np.bincount(data.train.truth, minlength=len(data.labels)) / len(data.train)
    refuse_chance(truth, np.concatenate([val, test]), frequencies, data.labels)


def _settings(run: TrainedRun) -> TrainingSettings:
    what, recipe, learned = run.what, run.recipe, run.learned
    return TrainingSettings(
        pool=what.pool,
        selection=run.selection,
        ended=learned.ended,
        hidden=what.hidden,
        dropout=what.dropout,
        augmentation=recipe.augmentation,
        epochs=len(learned.history["loss"]),
        best_epoch=learned.best_epoch,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        seed=recipe.seed,
        seconds=learned.seconds,
    )


def _reference(finished: FinishedRun, held_out: Pixels) -> Reference:
    train = finished.data.train
    chosen = _spread(len(train), _REFERENCE_IMAGES)
    pixels, means = np.zeros(16), np.zeros(16)
    cells: list[Floats] = []
    for part in _batches(len(chosen)):
        batch = _pixels(finished, train, chosen[part])
        cells += map(cell_means, batch)
        for sample in map(sampled, batch):
            pixels += np.bincount(sample.ravel() >> 4, minlength=16)
            means[int(sample.mean()) >> 4] += 1
    return Reference(
        pixel_histogram=tuple((pixels / pixels.sum()).tolist()),
        image_mean_histogram=tuple((means / means.sum()).tolist()),
        usual=describe_usual(cells, map(cell_means, held_out)),
    )


def _record(
    finished: FinishedRun, model: keras.Model, temperature: float, assembled: BundleContents
) -> RunRecord:
    """Look at the test split, and gather what the report shows."""
    data, run = finished.data, finished.run
    probabilities = _predict(model, finished, data.test)
    uncalibrated = _with_temperature(probabilities, 1 / temperature)
    metrics = measure("test", data.labels, data.test.truth, probabilities)
    right = probabilities.argmax(axis=1) == data.test.truth
    return RunRecord(
        name=finished.name,
        labels=data.labels,
        spec=data.cache.spec,
        layers=assembled.layers,
        summary=_summary(model),
        settings=_settings(run),
        calibration=Calibration(
            temperature=temperature,
            ece_before=reliability(data.test.truth, uncalibrated).ece,
            ece_after=metrics.ece,
        ),
        dataset=data.record,
        libraries=library_versions(),
        engines=assembled.engines,
        default_engine=assembled.default_engine,
        history=run.learned.history,
        test=metrics,
        truth=data.test.truth,
        probabilities=probabilities,
        uncalibrated=uncalibrated,
        class_samples=_class_samples(finished),
        augmented=_augmented(finished),
        right=_samples(finished, probabilities, right=True),
        wrong=_samples(finished, probabilities, right=False),
        findings=finished.findings,
        seconds=finished.seconds,
        baselines=tuple(_baselines(finished, right)),
        comparison=_comparison(finished, right),
        images_in_report=finished.images_in_bundle,
        interrupted=run.learned.interrupted,
        created_at=datetime.now(UTC),
    )


def _class_samples(finished: FinishedRun) -> dict[str, Pixels]:
    train, samples = finished.data.train, {}
    for k, label in enumerate(finished.data.labels):
        members = np.flatnonzero(train.truth == k)
        chosen = members[_spread(len(members), _SAMPLES_PER_CLASS)]
        samples[label] = _pixels(finished, train, chosen)
    return samples


def _augmented(finished: FinishedRun) -> Pixels:
    """Return (rows, 1 + k, h, w): what the network sees of an image, then k augmentations of it."""
    recipe, data = finished.run.recipe, finished.data
    augment = augmentation(recipe.augmentation, recipe.pixel_aspect)
    random = np.random.default_rng(recipe.seed)
    train = data.images(data.train, finished.run.what.pool)
    originals = train.read(_spread(len(train), _AUGMENTED_ROWS))
    columns = [originals] + [augment(originals, random) for _ in range(_AUGMENTED_COLUMNS - 1)]
    return np.rint(np.stack(columns, axis=1)).astype(np.uint8)


def _samples(finished: FinishedRun, probabilities: Floats, *, right: bool) -> list[Sample]:
    """Return right predictions spread over the split, or the most confidently wrong ones."""
    data = finished.data
    predicted = probabilities.argmax(axis=1)
    chosen = np.flatnonzero((predicted == data.test.truth) == right)
    if right:
        chosen = chosen[_spread(len(chosen), _GALLERY)]
    else:
        chosen = chosen[np.argsort(-probabilities[chosen].max(axis=1))][:_GALLERY]
    pixels = _pixels(finished, data.test, chosen)
    return [
        Sample(data.test.items[i].name, image, int(data.test.truth[i]), probabilities[i])
        for i, image in zip(chosen.tolist(), pixels, strict=True)
    ]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` indices below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _with_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Return what dividing the logits behind `probabilities` by `temperature` would give."""
    logits = np.log(np.maximum(probabilities, np.float32(1e-30)))
    return np.asarray(softmax(logits / np.float32(temperature), axis=1), np.float32)


def _summary(model: keras.Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    return "\n".join(lines)
