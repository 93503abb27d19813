"""python -m training check | fit | evaluate | predict."""

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

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
from training.errors import TrainingError, TrainingInterrupted
from training.progress import Reporter

if TYPE_CHECKING:
    from model_store.bundle import Model
    from model_store.store.store import ModelStore
    from training.fit import Fitted

app = command_line(
    "From a folder of labelled images to a published bundle.",
    "python -m training check images",
    "python -m training fit images --name parts --height 240 --width 320",
    "python -m training evaluate parts images/test --json",
)

Directory = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="Class folders; or train/ and test/ (and val/) with class folders; or an .npz.",
    ),
]
Height = Annotated[int, typer.Option(min=1, max=8192, help="Rows of the model's images.")]
Width = Annotated[int, typer.Option(min=1, max=8192, help="Columns of the model's images.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _augmentations(incomplete: str) -> list[str]:
    from training.learn.augmentation import PARTS

    return [name for name in PARTS if name.startswith(incomplete)]


def _known_augmentation(name: str | None) -> str | None:
    if name is not None:
        from training.learn.augmentation import augmentation

        try:
            augmentation(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return name


@app.command(epilog="Example: `python -m training check images`")
def check(
    directory: Directory,
    height: Height = 960,
    width: Width = 480,
    depth16_max: Depth16Max = MAX_16,
    as_json: AsJson = False,
) -> None:
    """Say what is in a folder of labelled images, and what is wrong with it."""
    from model_store.sources import open_labelled
    from model_store.spec import ImageSpec
    from model_store.store.cached import default_cache_root
    from training.data.cache import PixelCache
    from training.data.check import inspect
    from training.data.dataset import assemble_dataset
    from training.data.findings_text import describe
    from training.learn.selection import finest_pool

    reporter = Reporter()
    with _one_sentence_errors():
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
    epilog="Example: `python -m training fit images --name parts --height 240 --width 320`"
)
def fit(
    directory: Directory,
    name: Annotated[str, typer.Option(help="The model's name in the store.")],
    height: Height = 960,
    width: Width = 480,
    depth16_max: Depth16Max = MAX_16,
    hidden: Annotated[
        list[int], typer.Option(min=1, help="Units of each hidden layer: --hidden 512 512.")
    ] = [512, 512],  # noqa: B006  # typer copies it
    dropout: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.95,
            help="After each hidden layer. Default: 0.2, or none with handwriting.",
        ),
    ] = None,
    pool: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="The network sees means over so many pixels squared; 1: every pixel. Default: "
            "what generalises best on held-out images.",
        ),
    ] = None,
    augmentation: Annotated[
        str | None,
        typer.Option(
            callback=_known_augmentation,
            autocompletion=_augmentations,
            help="none, shifts, small, large, any-angle, mirror, upside-down, flips, handwriting, "
            "or two joined, as flips+small. Default: what generalises best.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Default: follows from the number of images.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of split, order, weights and augmentation.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A much shorter schedule.")] = False,
    without_images: Annotated[
        bool, typer.Option("--without-images", help="Keep your images out of the bundle.")
    ] = False,
    promote: Annotated[
        Literal["if-not-worse", "always", "never"],
        typer.Option(
            help="Whether the new version serves: not if it is significantly worse than the one "
            "that does, or than logistic regression, on the same test images."
        ),
    ] = "if-not-worse",
    publish_interrupted: Annotated[
        bool, typer.Option("--publish-interrupted", help="On Ctrl-C, publish the best weights.")
    ] = False,
    publish_kept: Annotated[
        bool,
        typer.Option("--publish-kept", help="Publish what an interrupted run kept; no training."),
    ] = False,
) -> None:
    """Train a model and publish it as the next version of NAME."""
    with _one_sentence_errors():
        from model_store.store.cached import default_cache_root
        from model_store.store.store import ModelStore, default_root
        from training.fit import FitRequest
        from training.fit import fit as run_fit

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
        )
        store = ModelStore(default_root())
        before = _labels(store, name)
        fitted = run_fit(request, store, default_cache_root(), Reporter())
        _say_fitted(fitted, store.where(fitted.bundle), before)


@app.command(epilog="Example: `python -m training evaluate parts images/test --json`")
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


@app.command(epilog="Example: `python -m training predict parts new-images -o predictions.csv`")
def predict(
    name: ModelName,
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A folder of images, an image, or an .npz with x_test."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            dir_okay=False,
            allow_dash=True,
            help="The CSV file to write; -: standard output.",
        ),
    ],
    layout: Annotated[
        Literal["csv", "kaggle"], typer.Option("--format", help="kaggle: ImageId,Label, of images.")
    ] = "csv",
) -> None:
    """Write one row of class probabilities per image."""
    with _one_sentence_errors(), _opened(name) as model:
        from training.judge.predict import STANDARD_OUTPUT
        from training.judge.predict import predict as run_predict

        reporter = Reporter()
        unreadable = run_predict(model, directory, output, layout, reporter)
        for file, reason in unreadable.items():
            reporter.warn(f"{file}: {reason}")
        if output != STANDARD_OUTPUT:
            reporter.say(f"Wrote {output}")


def _say_fitted(fitted: "Fitted", where: str, before: tuple[str, ...] | None) -> None:
    manifest, folder = fitted.bundle.manifest, fitted.bundle.folder
    name = manifest.name
    if (metrics := manifest.metrics) is not None:
        typer.echo(
            f"test accuracy {metrics.accuracy:.4f}  loss {metrics.loss:.4f}  "
            f"calibration error {metrics.ece:.4f}  ({metrics.images} images, read once)"
        )
    for simple in manifest.baselines:
        typer.echo(f"  {simple.name}: {simple.accuracy:.4f}")
    typer.echo(f"published {name} version {manifest.version}: {where}")
    typer.echo(f"report: {folder / 'report.html'}")
    if not fitted.promoted:
        typer.echo(f"It does not serve: {fitted.reason}.")
        typer.echo(
            f"to serve it all the same: python -m model_store promote {name} {manifest.version}"
        )
        return
    typer.echo(f"It serves: {fitted.reason}.")
    typer.echo(f"serve it: HALFTONE_MODEL={name} python -m app")
    if before not in (None, manifest.labels):
        typer.echo(
            f"warning: the version before has other labels ({', '.join(before)}), and clients "
            f"of {name} get these now; `python -m model_store rollback {name}` brings it back.",
            err=True,
        )


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


def _stop_as_by_hand() -> None:
    """Let SIGTERM, as from a container engine or a scheduler, end a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _spread_hidden(arguments: Sequence[str]) -> list[str]:
    """Return `--hidden 512 512` as `--hidden 512 --hidden 512`, which is what click reads."""
    spread: list[str] = []
    within = False
    for argument in arguments:
        if within and argument.isdigit() and spread[-1] != "--hidden":
            spread.append("--hidden")
        within = argument == "--hidden" or (within and argument.isdigit())
        spread.append(argument)
    return spread


def main() -> None:
    """Run the command line."""
    _stop_as_by_hand()
    run(app, "training", _spread_hidden(sys.argv[1:]))


if __name__ == "__main__":
    main()
