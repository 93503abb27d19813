"""python -m training check | fit | evaluate | predict."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from model_store.command_line import (
    INTERRUPTED,
    ModelName,
    command_line,
    fail,
    one_sentence_errors,
    run,
)
from model_store.errors import ModelStoreError
from training.errors import TrainingError, TrainingInterrupted
from training.progress import Reporter

if TYPE_CHECKING:
    from model_store.bundle import Model
    from model_store.store import ModelStore

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


@app.command(epilog="Example: `python -m training check images`")
def check(
    directory: Directory, height: Height = 960, width: Width = 480, as_json: AsJson = False
) -> None:
    """Say what is in a folder of labelled images, and what is wrong with it."""
    from model_store.spec import ImageSpec
    from training.cache import PixelCache, default_cache_root
    from training.check import inspect
    from training.dataset import assemble_dataset
    from training.findings_text import describe
    from training.sources import open_labelled

    reporter = Reporter()
    with _one_sentence_errors():
        source = open_labelled(directory)
        cache = PixelCache(default_cache_root(), ImageSpec.for_size(height, width))
        with reporter.stage("Reading", len(source.items)) as advance:
            records = cache.index(source, advance)
        findings = inspect(source, records)
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
    hidden: Annotated[
        list[int], typer.Option(min=1, help="Units of each hidden layer: --hidden 512 512.")
    ] = [512, 512],  # noqa: B006  # typer copies it
    dropout: Annotated[float, typer.Option(min=0, max=0.95, help="After each hidden layer.")] = 0.2,
    augmentation: Annotated[
        Literal["none", "shifts", "flips-and-shifts", "handwriting"] | None,
        typer.Option(help="Default: what generalises best in short trials on thumbnails."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Default: follows from the number of images.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of split, order, weights and augmentation.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A much shorter schedule.")] = False,
    without_images: Annotated[
        bool, typer.Option("--without-images", help="Keep your images out of the bundle.")
    ] = False,
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
        from model_store.store import ModelStore, default_root
        from training.cache import default_cache_root
        from training.fit import FitRequest
        from training.fit import fit as run_fit

        request = FitRequest(
            path=directory,
            name=name,
            height=height,
            width=width,
            hidden=tuple(hidden),
            dropout=dropout,
            augmentation=augmentation,
            epochs=epochs,
            seed=seed,
            quick=quick,
            images_in_bundle=not without_images,
            publish_interrupted=publish_interrupted,
            publish_kept=publish_kept,
        )
        store = ModelStore(default_root())
        before = _labels(store, name)
        bundle = run_fit(request, store, default_cache_root(), Reporter())
        metrics = bundle.manifest.metrics
        if metrics is not None:
            typer.echo(
                f"test accuracy {metrics.accuracy:.4f}  loss {metrics.loss:.4f}  "
                f"calibration error {metrics.ece:.4f}  ({metrics.images} images, read once)"
            )
        typer.echo(f"published {name} version {bundle.manifest.version}: {bundle.folder}")
        typer.echo(f"report: {bundle.folder / 'report.html'}")
        typer.echo(f"serve it: HALFTONE_MODEL={name} python -m app")
        if before not in (None, bundle.manifest.labels):
            typer.echo(
                f"warning: the version before has other labels ({', '.join(before)}), and clients "
                f"of {name} get these now; `python -m model_store rollback {name}` brings it back.",
                err=True,
            )


@app.command(epilog="Example: `python -m training evaluate parts images/test --json`")
def evaluate(name: ModelName, directory: Directory, as_json: AsJson = False) -> None:
    """Measure a published model on a labelled folder."""
    with _one_sentence_errors(), _opened(name) as model:
        from training.evaluate import evaluate as run_evaluate
        from training.metrics_text import describe

        reporter = Reporter()
        evaluation = run_evaluate(model, directory, reporter)
        for file, reason in evaluation.unreadable.items():
            reporter.warn(f"{file}: {reason}")
        if as_json:
            record = {
                "model": {
                    "name": model.name,
                    "version": model.version,
                    "engine": model.engine_name,
                },
                **evaluation.metrics.model_dump(mode="json"),
                "unreadable": evaluation.unreadable,
            }
            typer.echo(json.dumps(record))
        else:
            typer.echo(describe(evaluation.metrics))


@app.command(epilog="Example: `python -m training predict parts new-images -o predictions.csv`")
def predict(
    name: ModelName,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of images, or an .npz with x_test.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", dir_okay=False, help="The CSV file to write.")
    ],
    layout: Annotated[
        Literal["csv", "kaggle"], typer.Option("--format", help="kaggle: ImageId,Label from 1.")
    ] = "csv",
) -> None:
    """Write one row of class probabilities per image."""
    with _one_sentence_errors(), _opened(name) as model:
        from training.predict import predict as run_predict

        reporter = Reporter()
        unreadable = run_predict(model, directory, output, layout, reporter)
        for file, reason in unreadable.items():
            reporter.warn(f"{file}: {reason}")
        reporter.say(f"Wrote {output}")


def _labels(store: "ModelStore", name: str) -> tuple[str, ...] | None:
    """Return the labels of the version that serves; None: there is none, or it is damaged."""
    try:
        return store.bundle(name).manifest.labels
    except ModelStoreError:
        return None


@contextmanager
def _opened(name: str) -> Iterator["Model"]:
    from model_store.bundle import open_model
    from model_store.store import ModelStore, default_root

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
    run(app, "training", _spread_hidden(sys.argv[1:]))


if __name__ == "__main__":
    main()
