"""python -m training check | fit | evaluate | predict."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model_store.calling import calling, what_brings_tensorflow
from model_store.command_line import (
    INTERRUPTED,
    Depth16Max,
    ModelName,
    command_line,
    fail,
    one_sentence_errors,
    run,
)
from model_store.errors import ModelStoreError
from model_store.spec import MAX_16
from training.errors import NotLearning, TrainingError, TrainingInterrupted
from training.options import (
    Also,
    AsJson,
    Augmentation,
    Cluster,
    Directory,
    Dropout,
    Epochs,
    Height,
    Hidden,
    Layout,
    Pool,
    Promotes,
    PublishInterrupted,
    PublishKept,
    Quick,
    Seed,
    SpreadHidden,
    Target,
    Unlabelled,
    Width,
    WithoutImages,
    check_pool,
    check_prediction,
)
from training.progress import Reporter

if TYPE_CHECKING:
    from model_store.bundle import Model
    from model_store.store.store import ModelStore

_CALL = calling("training")
_ROOMS = ("model_store", "training")
_WHERE_TO_LOOK = "What to look at: docs/training.md#when-it-does-not-learn-well"

app = command_line(
    "From a folder of labelled images to a published bundle.",
    f"{_CALL} check images",
    f"{_CALL} fit images --name parts --height 240 --width 320",
    f"{_CALL} evaluate parts images/test --json",
)


@app.command(epilog=f"Example: `{_CALL} check images`")
def check(
    directory: Directory,
    height: Height = 960,
    width: Width = 480,
    depth16_max: Depth16Max = MAX_16,
    as_json: AsJson = False,
) -> None:
    """Say what is in a folder of labelled images, and what is wrong with it."""
    with _one_sentence_errors():
        from model_store.sources import open_labelled
        from model_store.spec import ImageSpec
        from model_store.store.cached import default_cache_root
        from training.data.cache import PixelCache
        from training.data.check import inspect
        from training.data.dataset import assemble_dataset
        from training.data.findings_text import describe
        from training.learn.selection import finest_pool

        reporter = Reporter()
        source = open_labelled(directory)
        pool = finest_pool(height, width)  # what fit reads by default
        spec = ImageSpec.for_size(height, width, depth16_max=depth16_max)
        cache = PixelCache(default_cache_root(), spec, pool)
        with reporter.stage("Reading", len(source.items)) as advance:
            records = cache.index(source, advance)
        findings = inspect(source, records, spec)
        typer.echo(json.dumps(findings.as_json(), indent=2) if as_json else describe(findings))
        # What fit would refuse, check refuses: the findings come first.
        assemble_dataset(source, records, cache, seed=0)


@app.command(
    cls=SpreadHidden,
    epilog=f"Example: `{_CALL} fit images --name parts --height 240 --width 320`",
)
def fit(
    directory: Directory,
    name: Annotated[str, typer.Option(help="The model's name in the store.")],
    height: Height = 960,
    width: Width = 480,
    depth16_max: Depth16Max = MAX_16,
    hidden: Hidden = [512, 512],  # noqa: B006  # typer copies it
    dropout: Dropout = None,
    pool: Pool = None,
    augmentation: Augmentation = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    also: Also = None,
    quick: Quick = False,
    cluster: Cluster = None,
    without_images: WithoutImages = False,
    promote: Promotes = "if-not-worse",
    publish_interrupted: PublishInterrupted = False,
    publish_kept: PublishKept = False,
) -> None:
    """Train a model and publish it as the next version of NAME."""
    with _one_sentence_errors():
        _need("tensorflow")  # before minutes of reading
        check_pool(pool, height, width)
        from model_store.store.cached import default_cache_root
        from model_store.store.store import ModelStore, default_root
        from training.fit import FitRequest
        from training.fit import fit as run_fit
        from training.fitted_text import describe_fitted, other_labels

        request = FitRequest(
            path=directory,
            name=name,
            height=height,
            width=width,
            depth16_max=depth16_max,
            pool=pool,
            hidden=tuple(hidden),
            dropout=dropout,
            augmentation=augmentation,
            epochs=epochs,
            seed=seed,
            quick=quick,
            images_in_bundle=not without_images,
            promote=promote,
            publish_interrupted=publish_interrupted,
            publish_kept=publish_kept,
            also=also,
            cluster=cluster,
        )
        store = ModelStore(default_root())
        before = _labels(store, name)
        reporter = Reporter()
        fitted = run_fit(request, store, default_cache_root(), reporter)
        typer.echo(
            "\n".join(
                describe_fitted(
                    fitted, store.where(fitted.bundle), images_in_bundle=not without_images
                )
            )
        )
        if warning := other_labels(fitted, before):
            reporter.warn(warning)


@app.command(epilog=f"Example: `{_CALL} evaluate parts images/test --json`")
def evaluate(
    name: ModelName,
    directory: Directory,
    as_json: AsJson = False,
    wrong: Annotated[
        int,
        typer.Option(min=0, help="Name so many files that it gets wrong, most confident first."),
    ] = 0,
) -> None:
    """Measure a published model on a labelled folder, on images it was not trained on."""
    with _one_sentence_errors(), _opened(name) as model:
        from training.judge.evaluate import evaluate as run_evaluate
        from training.judge.metrics_text import describe_evaluation

        reporter = Reporter()
        evaluation = run_evaluate(model, directory, reporter)
        for file, reason in evaluation.unreadable.items():
            reporter.warn(f"{file}: {reason}")
        if as_json:
            which = {"name": model.name, "version": model.version, "engine": model.engine_name}
            named = {"wrong": [asdict(one) for one in evaluation.wrong[:wrong]]} if wrong else {}
            typer.echo(json.dumps({"model": which, **evaluation.as_json(), **named}))
        else:
            typer.echo("\n".join(describe_evaluation(evaluation, wrong)))


@app.command(epilog=f"Example: `{_CALL} predict parts new-images -o predictions.csv`")
def predict(
    name: ModelName,
    source: Unlabelled,
    target: Target,
    layout: Layout = "csv",
    cluster: Cluster = None,
) -> None:
    """Write one row of class probabilities per image."""
    check_prediction(source, target, layout, cluster)
    with _one_sentence_errors(), _opened(name) as model:
        reporter = Reporter()
        if cluster is not None:
            from training.cluster.scoring import predict_on_cluster

            predict_on_cluster(model, source, target, cluster, reporter)
            return
        from training.judge.predict import STANDARD_OUTPUT
        from training.judge.predict import predict as run_predict

        unreadable = run_predict(model, Path(source), Path(target), layout, reporter)
        for file, reason in unreadable.items():
            reporter.warn(f"{file}: {reason}")
        if Path(target) != STANDARD_OUTPUT:
            reporter.say(f"Wrote {target}")


def _labels(store: "ModelStore", name: str) -> tuple[str, ...] | None:
    """Return the labels of the version that serves; None: there is none, or it is damaged."""
    try:
        return store.bundle(name).manifest.labels
    except ModelStoreError:
        return None


@contextmanager
def _opened(name: str) -> Iterator["Model"]:
    from model_store.bundle import open_model
    from model_store.store.store import ModelStore, default_root

    model = open_model(ModelStore(default_root()).bundle(name))
    try:
        yield model
    finally:
        model.close()


@contextmanager
def _one_sentence_errors() -> Iterator[None]:
    with one_sentence_errors(TrainingError):
        try:
            yield
        except TrainingInterrupted as error:
            fail(str(error), error, INTERRUPTED)
        except NotLearning as error:
            fail(f"{error} {_WHERE_TO_LOOK}", error)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in _ROOMS:
                raise
            fail(f"{error.name} is not installed here. {what_brings_tensorflow()}", error)


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise ModuleNotFoundError(name=package)


def stop_as_by_hand() -> None:
    """Let SIGTERM, as from a container engine or a scheduler, end a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def main() -> None:
    """Run the command line."""
    stop_as_by_hand()
    run(app, "python -m training", sys.argv[1:])


if __name__ == "__main__":
    main()
