"""python -m benchmarks WHAT: measures, and writes down; readme puts the figures into README."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import decode, engines, memory, overload, predict, readme, service, train
from benchmarks.models import stored_or_made_up
from benchmarks.report import Report, publish
from model_store.bundle import Bundle
from model_store.store import ModelStore, default_root

_SCRATCH = Path(tempfile.gettempdir()) / "halftone-benchmark-models"

app = typer.Typer(
    help="Measure speed and memory, each against a baseline in the same run.",
    no_args_is_help=True,
)
Name = Annotated[
    str | None, typer.Option("--model", help="In the store; unset: made up, 960 x 480.")
]
Seconds = Annotated[float, typer.Option(min=0.1, help="Per figure.")]
Output = Annotated[Path, typer.Option(help="Folder for the JSON, the tables and the plots.")]
Data = Annotated[Path | None, typer.Option(help="Labelled images to compare answers on.")]
_RESULTS = Path("benchmarks/results")


@app.command("engines")
def measure_engines(
    model: Name = None,
    seconds: Seconds = 5.0,
    output: Output = _RESULTS,
    data: Data = None,
) -> None:
    """Measure one forward pass on every engine, and how near its answers are to Keras's."""
    _publish(engines.run(_bundle(model), seconds, data), output)


@app.command("service")
def measure_service(model: Name = None, seconds: Seconds = 10.0, output: Output = _RESULTS) -> None:
    """Load the service from outside: rates, latencies, memory, start."""
    _publish(service.run(_bundle(model), seconds), output)


@app.command("overload")
def measure_overload(
    model: Name = None, seconds: Seconds = 10.0, output: Output = _RESULTS
) -> None:
    """Offer the service more than it can do; needs two CPUs, one for the load."""
    _publish(overload.run(_bundle(model), seconds), output)


@app.command("memory")
def measure_memory(
    requests: Annotated[int, typer.Option(min=1000)] = 100_000, output: Output = _RESULTS
) -> None:
    """Watch the service's memory over many requests and 20 reloads."""
    _publish(memory.run(_SCRATCH, requests), output)


@app.command("decode")
def measure_decode(seconds: Seconds = 3.0, output: Output = _RESULTS) -> None:
    """Measure decoding against plain Pillow."""
    _publish(decode.run(seconds), output)


@app.command("train")
def measure_train(output: Output = _RESULTS) -> None:
    """Measure a training step against the notebook's; needs 10 GB of memory."""
    _publish(train.run(), output)


@app.command("predict")
def measure_predict(
    model: Name = None,
    output: Output = _RESULTS,
    images: Annotated[int, typer.Option(min=32)] = 2000,
) -> None:
    """Measure offline prediction against its two halves."""
    _publish(predict.run(_bundle(model), images), output)


@app.command("readme")
def write_readme(
    page: Annotated[Path, typer.Argument(help="With the section's markers.")] = Path("README.md"),
    results: Output = _RESULTS,
) -> None:
    """Write README's performance section from the stored results."""
    page.write_text(readme.rewrite(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def _bundle(name: str | None) -> Bundle:
    return stored_or_made_up(ModelStore(default_root()), name, _SCRATCH)


def _publish(report: Report, folder: Path) -> None:
    publish(report, folder, Console())


if __name__ == "__main__":
    app()
