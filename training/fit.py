"""From a folder of labelled images to a published bundle, stage by stage."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model_store.bundle import Bundle
from model_store.engines.keras import runtime
from model_store.errors import ImageError
from model_store.ink import is_ink_form
from model_store.preprocessing import preprocess
from model_store.spec import ImageSpec, InkNormalization
from model_store.store import ModelStore
from training.cache import PixelCache
from training.check import Findings, inspect
from training.dataset import Dataset, assemble_dataset
from training.errors import TrainingInterrupted
from training.finished import FinishedRun
from training.listening import EpochEnd, Listener
from training.pilot import choose_augmentation
from training.progress import Reporter, duration
from training.recipe import Recipe, recipe_for
from training.runs import TrainedRun, load_run
from training.sources import Source, open_labelled

_INK_SAMPLE = 500
_INK_LARGEST_SIDE = 64
_LARGE_KERNEL = 50_000_000  # weights


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What the user asked of `fit`."""

    path: Path
    name: str
    height: int
    width: int
    hidden: Sequence[int]
    dropout: float
    augmentation: str | None  # None: chosen from the data
    epochs: int | None  # None: follows from the number of images
    seed: int
    quick: bool
    images_in_bundle: bool
    publish_interrupted: bool
    publish_kept: bool


@dataclass
class _Stages:
    reporter: Reporter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started


def fit(request: FitRequest, store: ModelStore, cache_root: Path, reporter: Reporter) -> Bundle:
    """Read, check, split, train, test once, and publish.

    Raises:
        TrainingError: the data cannot give an honest model, the model does not learn, or the run
            was interrupted and nobody asked to publish what it had.
        ModelStoreError: the name is invalid, or the bundle fails its own proof.
    """
    stages = _Stages(reporter)
    with store.draft(request.name) as draft:
        source = open_labelled(request.path)
        spec = _spec(request, source)
        cache = PixelCache(cache_root, spec)
        with stages.timed("reading"):
            findings, data = _read(request, source, cache, reporter)
        recipe, run = _train(request, data, cache_root, stages)
        finished = FinishedRun(
            request.name,
            source,
            data,
            spec,
            recipe,
            run,
            [*findings.warnings(), *_left_out(data)],
            stages.seconds,
            request.images_in_bundle,
        )
        reporter.say("Calibrating, exporting and testing once …")
        # Imported late: a large network trains in another process, and this one stays small.
        runtime()
        from training.publishing import write_bundle

        contents = write_bundle(finished, draft.folder)
        bundle = draft.publish(contents)
    shutil.rmtree(run.folder, ignore_errors=True)
    cache.close()
    return bundle


def _spec(request: FitRequest, source: Source) -> ImageSpec:
    """Return the spec; images already in the form that MNIST has get the normalisation for it."""
    plain = ImageSpec.for_size(request.height, request.width)
    if max(request.height, request.width) > _INK_LARGEST_SIDE:
        return plain
    random = np.random.default_rng(request.seed)
    sample = []
    for index in random.permutation(len(source.items))[:_INK_SAMPLE]:
        try:
            sample.append(preprocess(source.encoded(int(index)), plain))
        except (ImageError, OSError):
            continue
    ink: InkNormalization | None = is_ink_form(np.stack(sample)) if sample else None
    return plain if ink is None else ImageSpec.for_size(request.height, request.width, ink)


def _read(
    request: FitRequest, source: Source, cache: PixelCache, reporter: Reporter
) -> tuple[Findings, Dataset]:
    with reporter.stage("Reading", len(source.items)) as advance:
        records = cache.index(source, advance)
    findings = inspect(source, records)
    for warning in findings.warnings():
        reporter.warn(warning)
    data = assemble_dataset(source, records, cache, request.seed)
    for warning in _left_out(data):
        reporter.warn(warning)
    sizes = ", ".join(f"{len(split)} {split.name}" for split in (data.train, data.val, data.test))
    reporter.say(f"{len(data.labels)} classes; images: {sizes}")
    return findings, data


def _left_out(data: Dataset) -> list[str]:
    if not data.left_out:
        return []
    return [
        f"{len(data.left_out)} images stand in a held-out split too and are left out of training: "
        f"{', '.join(data.left_out[:5])}{' …' if len(data.left_out) > 5 else ''}."
    ]


def _train(
    request: FitRequest, data: Dataset, cache_root: Path, stages: _Stages
) -> tuple[Recipe, TrainedRun]:
    folder = cache_root / "runs" / f"{request.name}-{data.record.fingerprint[:12]}"
    with stages.timed("choosing the augmentation"):
        augmentation = request.augmentation or _augmentation(request, data, stages.reporter)
    recipe = recipe_for(
        len(data.train),
        augmentation,
        hidden=request.hidden,
        dropout=request.dropout,
        seed=request.seed,
        epochs=request.epochs,
        quick=request.quick,
    )
    if request.publish_kept:
        return recipe, _kept(folder)
    run = _run(data, recipe, folder, stages.reporter)
    if run.interrupted and not _publishing_is_wanted(request, run, stages.reporter):
        raise TrainingInterrupted(
            f"Stopped. The weights of epoch {run.best_epoch} are kept; to publish them, run the "
            "same command with --publish-kept."
        )
    return recipe, run


def _augmentation(request: FitRequest, data: Dataset, reporter: Reporter) -> str:
    if data.cache.spec.ink is not None:
        return "handwriting"
    reporter.say("Trying augmentations on thumbnails …")
    images = data.images(data.train)
    name, losses = choose_augmentation(images, len(data.labels), request.seed)
    tried = ", ".join(f"{candidate} {loss:.3f}" for candidate, loss in losses.items())
    reporter.say(f"Augmentation: {name} (validation loss on thumbnails: {tried})")
    return name


def _run(data: Dataset, recipe: Recipe, folder: Path, reporter: Reporter) -> TrainedRun:
    steps = -(-len(data.train) // recipe.batch_size)
    started = time.monotonic()

    def tell(end: EpochEnd) -> None:
        left = (time.monotonic() - started) / end.epoch * (end.epochs - end.epoch)
        reporter.say(
            f"epoch {end.epoch}/{end.epochs}  loss {end.loss:.4f}  accuracy {end.accuracy:.4f}  "
            f"val_loss {end.val_loss:.4f}  val_accuracy {end.val_accuracy:.4f}  "
            f"{end.images / end.seconds:.0f} images/s  {duration(left)} left"
        )

    total = steps * recipe.batch_size * recipe.epochs
    if data.cache.image_bytes * recipe.hidden[0] >= _LARGE_KERNEL:
        from training.apart import train_apart as train
    else:
        runtime()
        from training.trainer import train
    with reporter.stage("Training", total) as advance:
        return train(
            data.images(data.train),
            data.images(data.val),
            len(data.labels),
            recipe,
            folder,
            Listener(advance, tell),
        )


def _publishing_is_wanted(request: FitRequest, run: TrainedRun, reporter: Reporter) -> bool:
    accuracy = run.history["val_accuracy"][run.best_epoch - 1]
    return request.publish_interrupted or reporter.ask(
        f"Publish the best weights so far (epoch {run.best_epoch}, validation accuracy "
        f"{accuracy:.1%})?"
    )


def _kept(folder: Path) -> TrainedRun:
    try:
        return load_run(folder)
    except OSError as error:
        raise TrainingInterrupted(
            "Expected the weights of an interrupted run with the same --name, data and seed. "
            "Received: none"
        ) from error
