"""python -m benchmarks WHAT: measures, and writes down; readme puts the figures into the pages."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import engines, report, service, train
from benchmarks.samples import notebooks_network
from model_store.bundle import Bundle
from model_store.store.store import ModelStore, default_root

_RESULTS = Path("benchmarks/results")

app = typer.Typer(
    help="Measure speed and memory, each against a baseline in the same run.",
    no_args_is_help=True,
)
Name = Annotated[
    str | None, typer.Option("--model", help="In the store; unset: made up, 960 x 480.")
]
Seconds = Annotated[float, typer.Option(min=0.1, help="Per figure.")]
Output = Annotated[Path, typer.Option(help="Folder for the results as JSON.")]


@app.command("engines")
def measure_engines(
    model: Name = None,
    seconds: Seconds = 5.0,
    output: Output = _RESULTS,
    data: Annotated[
        Path | None, typer.Option(help="Labelled images to compare answers on.")
    ] = None,
) -> None:
    """Measure one forward pass on every engine, and how near its answers are to Keras's."""
    report.publish("engines", engines.run(_bundle(model), seconds, data), output, Console())


@app.command("service")
def measure_service(
    model: Name = None,
    seconds: Seconds = 10.0,
    output: Output = _RESULTS,
    requests: Annotated[int, typer.Option(min=1, help="Over which memory is watched.")] = 100_000,
    reloads: Annotated[int, typer.Option(min=2, help="Of a new version, meanwhile.")] = 20,
) -> None:
    """Load the service from outside: rates, latencies, overload, memory. Needs two CPUs."""
    bundle = _bundle(model)
    name = f"service-{bundle.manifest.image.height}x{bundle.manifest.image.width}"
    found = service.run(bundle, seconds, requests, reloads)
    report.publish(name, found, output, Console())


@app.command("train")
def measure_train(output: Output = _RESULTS) -> None:
    """Measure a training step against the notebook's; needs 10 GB of memory."""
    report.publish("train", train.run(), output, Console())


@app.command("readme")
def write_readme(results: Output = _RESULTS) -> None:
    """Write the stored figures into README.md and benchmarks/README.md."""
    for path, section in (
        (Path("README.md"), report.comparison(results)),
        (Path("benchmarks/README.md"), report.everything(results)),
    ):
        path.write_text(report.rewrite(path.read_text(encoding="utf-8"), section), encoding="utf-8")


def _bundle(name: str | None) -> Bundle:
    return notebooks_network() if name is None else ModelStore(default_root()).bundle(name)


if __name__ == "__main__":
    app()
