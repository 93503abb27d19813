"""From a folder of labelled images to a published bundle, stage by stage."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from model_store.bundle import Bundle
from model_store.cpu import available_cpus
from model_store.engines.keras import runtime
from model_store.manifest import REPORT_FILE
from model_store.sources import Source, open_labelled
from model_store.spec import ImageSpec
from model_store.store.store import ModelStore
from training.cluster.executor import cluster_executor
from training.cluster.trials import cluster_trials
from training.data.also import with_more
from training.data.cache import PixelCache
from training.data.check import inspect
from training.data.dataset import Dataset, assemble_dataset
from training.data.image_spec import spec_for
from training.errors import NotLearning, TrainingInterrupted
from training.learn.checkpoint import TrainedRun, alone, load_run
from training.learn.recipe import Recipe, batch_size_for, planned_epochs
from training.learn.selection import Selector, finest_pool, question
from training.learn.task import Architecture, Floats, Listener, Task
from training.learn.workers import workers
from training.progress import Reporter
from training.promotion import Promote, decide, to_compare_with, worse_than_baselines
from training.record import FinishedRun

_LARGE_KERNEL = 50_000_000  # weights; such a network gains from every thread
_MOST_WORKERS = 4
_THUMBNAIL_INPUTS = 2_000
_DROPOUT = 0.2


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
    cluster: str | None = None  # reads the images and runs the trials; None: this machine does


@dataclass(frozen=True, slots=True)
class Fitted:
    """A published bundle, and whether it serves now."""

    bundle: Bundle
    promoted: bool
    reason: str  # one sentence


def fit(request: FitRequest, store: ModelStore, cache_root: Path, reporter: Reporter) -> Fitted:
    """Read, check, split, choose, train, test once, compare, and publish.

    Raises:
        TrainingError: the data cannot give an honest model, the model does not learn, or the run
            was interrupted and nobody asked to publish what it had.
        ModelStoreError: the name is invalid, or the bundle fails its own proof.
    """
    seconds: dict[str, float] = {}
    with store.draft(request.name) as draft, ExitStack() as held:
        source: Source = open_labelled(request.path)
        if request.also is not None:
            source = with_more(source, request.also, request.name)
        pool = request.pool or finest_pool(request.height, request.width)
        plain = ImageSpec.for_size(request.height, request.width, depth16_max=request.depth16_max)
        cache = PixelCache(cache_root, spec_for(source, plain, request.seed), pool)
        with _timed(seconds, "reading"):
            warnings, data = _read(request, source, cache, reporter)
        folder = cache_root / "runs" / f"{request.name}-{data.record.fingerprint[:12]}"
        held.enter_context(alone(folder))
        if request.publish_kept:
            run = load_run(folder, pool)
            with reporter.waiting("Training simpler models to compare with"):
                simple = _baselines(data, request.seed)
        else:
            selector = _selector(request, data, reporter.say)
            run, simple = _train(request, data, selector, folder, reporter, seconds)
            if run.learned.interrupted:
                _refuse_interrupted(request, run, reporter)
        current = to_compare_with(store, request.name, data.labels)
        finished = FinishedRun(
            request.name,
            source,
            data,
            run,
            simple,
            current,
            warnings,
            seconds,
            request.images_in_bundle,
        )
        reporter.say("Calibrating, exporting and testing once …")
        # Imported late: TensorFlow is needed in this process from here on.
        runtime()
        from training.publishing import write_bundle

        with reporter.waiting("Publishing"), ExitStack() as opened:
            if current is not None:
                opened.callback(current.close)
            try:
                contents = write_bundle(finished, draft.folder)
            except NotLearning as error:
                raise _with_report(error, draft.folder, folder) from error
            for warning in worse_than_baselines(contents):
                reporter.warn(warning)
            promoted, reason = decide(request.promote, contents)
            bundle = draft.publish(contents, promote=promoted)
        shutil.rmtree(folder, ignore_errors=True)
    cache.close()
    return Fitted(bundle, promoted, reason)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started


def _read(
    request: FitRequest, source: Source, cache: PixelCache, reporter: Reporter
) -> tuple[list[str], Dataset]:
    """Return what of the data is worth a look, in sentences that were said, and the splits."""
    with (
        cluster_executor(request.cluster) if request.cluster else nullcontext() as elsewhere,
        reporter.stage("Reading", len(source.items)) as advance,
    ):
        records = cache.index(source, advance, elsewhere)
    warnings = inspect(source, records, cache.spec).warnings()
    for warning in warnings:
        reporter.warn(warning)
    data = assemble_dataset(source, records, cache, request.seed)
    for warning in data.warnings():
        reporter.warn(warning)
    sizes = ", ".join(f"{len(split)} {split.name}" for split in (data.train, data.val, data.test))
    reporter.say(f"{len(data.labels)} classes; images: {sizes}")
    return [*warnings, *data.warnings()], data


def _train(
    request: FitRequest,
    data: Dataset,
    selector: Selector,
    folder: Path,
    reporter: Reporter,
    seconds: dict[str, float],
) -> tuple[TrainedRun, dict[str, Floats]]:
    """Choose resolution and augmentation, train the network, and simpler models beside it.

    Returns:
        The trained network, and what simpler models say of the test images.
    """
    processes = min(available_cpus(), _MOST_WORKERS)
    planned = selector.planned_cost()
    guess = _task(data, selector.what, selector.recipe, selector.asked.pools[0])
    # Trials share the processor, the last training does not gain from it: it counts so many times.
    with reporter.share("Learning", planned + processes * guess.cost) as progress:
        trials = Listener(progress.advance)
        on_cluster = request.cluster if selector.asked.is_open else None
        with (
            _timed(seconds, "choosing"),
            cluster_trials(on_cluster, trials)
            if on_cluster
            else workers(processes, 1, trials) as side_by_side,
        ):
            selection = selector.choose(side_by_side)
        progress.advance(planned - progress.done)
        recipe = replace(selector.recipe, augmentation=selection.augmentation)
        task = _task(data, selector.what, recipe, selection.pool)
        rows, columns = task.what.inputs
        reporter.say(f"Chosen: {rows} x {columns} inputs, augmentation {selection.augmentation}")
        threads = available_cpus() if task.what.weights >= _LARGE_KERNEL else 1
        training = Listener(
            lambda cost: progress.advance(processes * cost),
            lambda end: reporter.say_at_times(str(end), always=end.epoch == end.epochs),
            device=lambda device: reporter.say(f"Training on {device}"),
        )
        with (
            _timed(seconds, "training"),
            ThreadPoolExecutor(1) as beside,
            workers(1, threads, training) as alone,
        ):
            simple = beside.submit(_baselines, data, request.seed)
            run = TrainedRun(folder, task.what, recipe, selection, alone.train(task, folder))
            run.keep()
            reporter.say(run.learned.ended)
    return run, simple.result()


def _selector(request: FitRequest, data: Dataset, tell: Callable[[str], None]) -> Selector:
    """Return what chooses the settings that are left open, with those that are not."""
    images, is_ink = len(data.train), data.cache.spec.ink is not None
    asked = question(
        request.height, request.width, request.pool, request.augmentation, handwriting=is_ink
    )
    # Distorted characters never repeat: there is nothing to overfit, and more to learn.
    handwriting = asked.augmentations == ("handwriting",)
    default_dropout = 0.0 if handwriting else _DROPOUT
    what = Architecture(
        request.height,
        request.width,
        data.cache.pool,
        len(data.labels),
        tuple(request.hidden),
        default_dropout if request.dropout is None else request.dropout,
    )
    recipe = Recipe(
        asked.augmentations[0],
        data.pixel_aspect,
        request.epochs or planned_epochs(images, handwriting=handwriting, quick=request.quick),
        batch_size_for(images),
        request.seed,
        ema_momentum=0.999 if handwriting else None,
    )
    return Selector(
        asked,
        lambda pool: data.images(data.train, pool).part(data.train.distinct),
        (lambda pool: data.images(data.val, pool)) if data.val_is_given else None,
        recipe,
        what,
        request.quick,
        tell,
    )


def _task(data: Dataset, what: Architecture, recipe: Recipe, pool: int) -> Task:
    train, val = data.images(data.train, pool), data.images(data.val, pool)
    return Task(train, val, replace(what, pool=pool), recipe)


def _baselines(data: Dataset, seed: int) -> dict[str, Floats]:
    """Return what simpler models say of the test images, from thumbnails."""
    pool = data.cache.pool
    while math.prod(data.cache.size) * data.cache.pool**2 > _THUMBNAIL_INPUTS * pool**2:
        pool *= 2
    from training.learn.baselines import baselines

    train, test = data.images(data.train, pool), data.images(data.test, pool)
    return baselines(train, test, len(data.labels), seed)


def _refuse_interrupted(request: FitRequest, run: TrainedRun, reporter: Reporter) -> None:
    """Keep an interrupted run for later, unless its weights are wanted now.

    Raises:
        TrainingInterrupted: they are not.
    """
    epoch, accuracies = run.learned.best_epoch, run.learned.history["val_accuracy"]
    if request.publish_interrupted or reporter.ask(
        f"Publish the best weights so far (epoch {epoch}, validation accuracy "
        f"{accuracies[epoch - 1]:.1%})?"
    ):
        return
    raise TrainingInterrupted(
        f"Stopped. The weights of epoch {epoch} are kept; to publish them, run the same command "
        "with --publish-kept."
    )


def _with_report(error: NotLearning, draft: Path, folder: Path) -> NotLearning:
    """Keep the report of a refused model, and say where."""
    report = folder.with_suffix(".refused.html")
    report.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(draft / REPORT_FILE, report)
    return NotLearning(f"{error} Its report: {report}")
