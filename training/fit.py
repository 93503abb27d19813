"""From a folder of labelled images to a published bundle, stage by stage."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from model_store.bundle import Bundle, Model, open_model
from model_store.comparing import SIGNIFICANCE, sentence
from model_store.cpu import available_cpus
from model_store.engines.keras import runtime
from model_store.errors import ImageError, ModelStoreError
from model_store.manifest import REPORT_FILE, BundleContents
from model_store.pixels.ink import is_ink_form
from model_store.pixels.preprocessing import preprocess
from model_store.sources import Source, label_of, open_labelled
from model_store.spec import ImageSpec, InkNormalization
from model_store.store.store import ModelStore
from training.data.also import with_more
from training.data.cache import PixelCache, Record
from training.data.check import Findings, inspect
from training.data.dataset import Dataset, assemble_dataset
from training.errors import NotLearning, TrainingInterrupted
from training.finished import FinishedRun
from training.learn.checkpoint import TrainedRun, keep_run, load_run
from training.learn.recipe import Recipe, batch_size_for, planned_epochs
from training.learn.selection import Question, Selector, finest_pool, question
from training.learn.task import Architecture, EpochEnd, Floats, Listener, Task
from training.learn.workers import workers
from training.progress import Reporter

_INK_SAMPLE = 500
_INK_LARGEST_SIDE = 64
_LARGE_KERNEL = 50_000_000  # weights; such a network gains from every thread
_MOST_WORKERS = 4
_THUMBNAIL_INPUTS = 2_000
_DROPOUT = 0.2
_EPOCH_LINE_SECONDS = 5.0

Promote = Literal["if-not-worse", "always", "never"]


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What the user asked of `fit`."""

    path: Path
    name: str
    height: int
    width: int
    depth16_max: int
    pool: int | None  # None: chosen from the data, as are the next ones
    hidden: Sequence[int]
    dropout: float | None
    augmentation: str | None
    epochs: int | None  # None: follows from the number of images
    seed: int
    quick: bool
    images_in_bundle: bool
    promote: Promote
    publish_interrupted: bool
    publish_kept: bool
    also: Path | None = None  # more images, which only train


@dataclass(frozen=True, slots=True)
class Fitted:
    """A published bundle, and whether it serves now."""

    bundle: Bundle
    promoted: bool
    reason: str  # one sentence


@dataclass
class _Stages:
    reporter: Reporter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started


def fit(request: FitRequest, store: ModelStore, cache_root: Path, reporter: Reporter) -> Fitted:
    """Read, check, split, choose, train, test once, compare, and publish.

    Raises:
        TrainingError: the data cannot give an honest model, the model does not learn, or the run
            was interrupted and nobody asked to publish what it had.
        ModelStoreError: the name is invalid, or the bundle fails its own proof.
    """
    stages = _Stages(reporter)
    with store.draft(request.name) as draft:
        source: Source = open_labelled(request.path)
        if request.also is not None:
            source = with_more(source, request.also, request.name)
        spec = _spec(request, source)
        cache = PixelCache(
            cache_root, spec, request.pool or finest_pool(request.height, request.width)
        )
        with stages.timed("reading"):
            records, findings, data = _read(request, source, cache, reporter)
        run, simple = _learn(request, data, _pixel_aspect(spec, records), cache_root, stages)
        current = _current(store, request.name, data.labels)
        finished = FinishedRun(
            request.name,
            source,
            data,
            spec,
            _architecture(request, data, run.recipe, run.recipe.pool),
            run,
            simple,
            current,
            [*findings.warnings(), *_left_out(data)],
            stages.seconds,
            request.images_in_bundle,
        )
        reporter.say("Calibrating, exporting and testing once …")
        # Imported late: TensorFlow is needed in this process from here on.
        runtime()
        from training.publishing import worse_than_baselines, write_bundle

        with reporter.waiting("Publishing"), ExitStack() as opened:
            if current is not None:
                opened.callback(current.close)
            try:
                contents = write_bundle(finished, draft.folder)
            except NotLearning as error:
                raise _with_report(error, draft.folder, run.folder) from error
            for warning in worse_than_baselines(contents):
                reporter.warn(warning)
            promoted, reason = _decide(request.promote, contents)
            bundle = draft.publish(contents, promote=promoted)
    shutil.rmtree(run.folder, ignore_errors=True)
    cache.close()
    return Fitted(bundle, promoted, reason)


def _architecture(request: FitRequest, data: Dataset, recipe: Recipe, pool: int) -> Architecture:
    return Architecture(
        request.height,
        request.width,
        pool,
        len(data.labels),
        tuple(recipe.hidden),
        recipe.dropout,
    )


def _spec(request: FitRequest, source: Source) -> ImageSpec:
    """Return the spec; images already in the form that MNIST has get the normalisation for it."""
    plain = ImageSpec.for_size(request.height, request.width, depth16_max=request.depth16_max)
    if max(request.height, request.width) > _INK_LARGEST_SIDE:
        return plain
    random = np.random.default_rng(request.seed)
    # What was added decides nothing: photographs of digits are no reason to read MNIST otherwise.
    own = [index for index, item in enumerate(source.items) if not item.only_trains]
    sample = []
    for index in random.permutation(own)[:_INK_SAMPLE]:
        try:
            sample.append(preprocess(source.encoded(int(index)), plain))
        except (ImageError, OSError):
            continue
    ink: InkNormalization | None = is_ink_form(np.stack(sample)) if sample else None
    return plain.model_copy(update={"ink": ink})


def _read(
    request: FitRequest, source: Source, cache: PixelCache, reporter: Reporter
) -> tuple[list[Record], Findings, Dataset]:
    with reporter.stage("Reading", len(source.items)) as advance:
        records = cache.index(source, advance)
    findings = inspect(source, records, cache.spec)
    for warning in findings.warnings():
        reporter.warn(warning)
    data = assemble_dataset(source, records, cache, request.seed)
    for warning in _left_out(data):
        reporter.warn(warning)
    sizes = ", ".join(f"{len(split)} {split.name}" for split in (data.train, data.val, data.test))
    reporter.say(f"{len(data.labels)} classes; images: {sizes}")
    return records, findings, data


def _left_out(data: Dataset) -> list[str]:
    if not data.left_out:
        return []
    return [
        f"{len(data.left_out)} images stand in a held-out split too and are left out of training: "
        f"{', '.join(data.left_out[:5])}{' …' if len(data.left_out) > 5 else ''}."
    ]


def _pixel_aspect(spec: ImageSpec, records: Sequence[Record]) -> float:
    """Return height over width of a pixel as it was photographed: images are stretched."""
    sizes = [(r.height, r.width) for r in records if r.height and r.width]
    return median((height / spec.height) / (width / spec.width) for height, width in sizes)


def _learn(
    request: FitRequest, data: Dataset, pixel_aspect: float, cache_root: Path, stages: _Stages
) -> tuple[TrainedRun, dict[str, Floats]]:
    """Return the trained network, and what simpler models say of the test images."""
    folder = cache_root / "runs" / f"{request.name}-{data.record.fingerprint[:12]}"
    if request.publish_kept:
        run = _kept(folder)
        with stages.reporter.waiting("Training simpler models to compare with"):
            return run, _baselines(data, request.seed)
    run, simple = _train(request, data, pixel_aspect, folder, stages)
    if run.interrupted and not _publishing_is_wanted(request, run, stages.reporter):
        raise TrainingInterrupted(
            f"Stopped. The weights of epoch {run.best_epoch} are kept; to publish them, run the "
            "same command with --publish-kept."
        )
    return run, simple


def _train(
    request: FitRequest, data: Dataset, pixel_aspect: float, folder: Path, stages: _Stages
) -> tuple[TrainedRun, dict[str, Floats]]:
    """Choose resolution and augmentation, train the network, and simpler models beside it."""
    handwriting = data.cache.spec.ink is not None and request.augmentation is None
    asked = question(
        request.height, request.width, request.pool, request.augmentation, handwriting=handwriting
    )
    recipe = _recipe(request, data, asked, pixel_aspect)
    what = _architecture(request, data, recipe, data.cache.pool)
    count = min(available_cpus(), _MOST_WORKERS)
    told = _Told(stages.reporter)
    listener = Listener(told.cost, told.epoch)
    with workers(count, 1, listener) as side_by_side:
        selector = Selector(
            lambda pool: data.images(data.train, pool).part(data.train.distinct),
            (lambda pool: data.images(data.val, pool)) if data.val_is_given else None,
            recipe,
            what,
            side_by_side,
            request.quick,
        )
        guess = replace(what, pool=asked.pools[0])
        planned = selector.planned_cost(asked)
        with told.showing(planned + count * _task(data, guess, recipe).cost):
            with stages.timed("choosing"):
                selection = selector.choose(asked, stages.reporter.say)
            told.skip_to(planned, count)  # one process of several is at work from here on
            task = _task(
                data,
                replace(what, pool=selection.pool),
                replace(recipe, pool=selection.pool, augmentation=selection.augmentation),
            )
            rows, columns = task.what.inputs
            stages.reporter.say(
                f"Chosen: {rows} x {columns} inputs, augmentation {selection.augmentation}"
            )
            with stages.timed("training"), ThreadPoolExecutor(1) as beside:
                simple = beside.submit(_baselines, data, request.seed)
                if task.what.weights < _LARGE_KERNEL:
                    learned = side_by_side.train(task, folder)
                else:
                    with workers(1, available_cpus(), listener) as alone:
                        learned = alone.train(task, folder)
                stages.reporter.say(learned.ended)
                return keep_run(folder, task.recipe, selection, learned), simple.result()


def _baselines(data: Dataset, seed: int) -> dict[str, Floats]:
    """Return what simpler models say of the test images, from thumbnails."""
    pool = data.cache.pool
    while math.prod(data.cache.size) * data.cache.pool**2 > _THUMBNAIL_INPUTS * pool**2:
        pool *= 2
    from training.learn.baselines import baselines

    train, test = data.images(data.train, pool), data.images(data.test, pool)
    return baselines(train, test, len(data.labels), seed)


def _recipe(request: FitRequest, data: Dataset, asked: Question, pixel_aspect: float) -> Recipe:
    """Return the settings before anything is chosen."""
    images, handwriting = len(data.train), asked.augmentations == ("handwriting",)
    dropout = request.dropout
    if dropout is None:
        dropout = 0.0 if handwriting else _DROPOUT  # nothing to overfit where no image repeats
    return Recipe(
        tuple(request.hidden),
        dropout,
        asked.augmentations[0],
        pixel_aspect,
        asked.pools[-1],
        request.epochs or planned_epochs(images, handwriting=handwriting, quick=request.quick),
        batch_size_for(images),
        request.seed,
        ema_momentum=0.999 if handwriting else None,
    )


def _task(data: Dataset, what: Architecture, recipe: Recipe) -> Task:
    train, val = data.images(data.train, what.pool), data.images(data.val, what.pool)
    return Task(train, val, what, recipe)


class _Told:
    """What the training processes told so far, on its way to a reporter."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._advance: Callable[[int], None] = lambda _: None
        self._done, self._weight, self._said = 0, 1, -math.inf

    @contextmanager
    def showing(self, total: int) -> Iterator[None]:
        """Show progress towards a cost of `total`."""
        with self._reporter.share("Learning", total) as self._advance:
            yield

    def skip_to(self, done: int, weight: int) -> None:
        """Go on as if `done` were done; what is told from now on counts `weight` times."""
        self._advance(done - self._done)
        self._weight = weight

    def cost(self, cost: int) -> None:
        self._done += cost
        self._advance(cost * self._weight)

    def epoch(self, end: EpochEnd) -> None:
        if time.monotonic() - self._said < _EPOCH_LINE_SECONDS and end.epoch < end.epochs:
            return
        self._said = time.monotonic()
        self._reporter.say(
            f"epoch {end.epoch}/{end.epochs}  loss {end.loss:.4f}  accuracy {end.accuracy:.4f}  "
            f"val_loss {end.val_loss:.4f}  val_accuracy {end.val_accuracy:.4f}"
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


def _current(store: ModelStore, name: str, labels: Sequence[str]) -> Model | None:
    """Open the version that serves, if the new one can be compared with it."""
    try:
        bundle = store.bundle(name)
        same = [label_of(label) for label in bundle.manifest.labels] == list(labels)
        return open_model(bundle) if same else None
    except ModelStoreError:
        return None


def _with_report(error: NotLearning, draft: Path, folder: Path) -> NotLearning:
    """Keep the report of a refused model, and say where."""
    report = folder.with_suffix(".refused.html")
    report.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(draft / REPORT_FILE, report)
    return NotLearning(f"{error} Its report: {report}")


def _decide(promote: Promote, contents: BundleContents) -> tuple[bool, str]:
    """Return whether a version becomes the current one, and why."""
    if promote != "if-not-worse":
        return promote == "always", f"as asked (--promote {promote})"
    comparison = contents.comparison
    if comparison is not None and comparison.verdict == "worse":
        return False, f"it is {sentence(comparison)}"
    accuracy = contents.metrics.accuracy if contents.metrics else 0.0
    for simple in contents.baselines:
        if simple.accuracy > accuracy and simple.p_value < SIGNIFICANCE:
            return False, (
                f"{simple.name} is better on the same test images: {simple.accuracy:.2%} against "
                f"{accuracy:.2%} (p = {simple.p_value:.2g})"
            )
    if comparison is None:
        return True, "there is no version with the same labels to compare with"
    return True, f"compared with the version that served: {sentence(comparison)}"
