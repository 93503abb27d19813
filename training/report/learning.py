"""The network and how it learned."""

import math
from collections.abc import Iterator, Sequence

from model_store.manifest import Layer
from training.record import RunRecord
from training.report.markup import (
    Html,
    count,
    folded,
    join,
    paragraph,
    percent,
    section,
    table,
    tag,
)
from training.report.plots import curve

_COLUMNS = {
    "loss": "training loss",
    "accuracy": "training accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}


def network(record: RunRecord) -> Html:
    """Draw the layers, each as wide as its output, with shapes and parameters."""
    total = sum(layer.parameters for layer in record.layers)
    intro = paragraph(
        f"{count(total, 'parameter')} in {count(len(record.layers), 'layer')}. Each bar is as wide "
        "as the logarithm of its layer's outputs."
    )
    widest = max((_outputs(layer) for layer in record.layers), default=1)
    steps = (_layer(layer, widest, total) for layer in record.layers)
    summary = folded("Keras's summary", tag("pre", record.summary, tabindex="0"))
    return section(
        "network", "The network", intro, tag("ol", *steps, class_="network", role="list"), summary
    )


def curves(record: RunRecord) -> Html:
    """Draw loss and accuracy over the epochs, with the numbers behind them."""
    charts = tag("div", *_charts(record), class_="charts")
    return section("learning", "How it learned", paragraph(_overview(record)), charts, _log(record))


def _layer(layer: Layer, widest: int, total: int) -> Html:
    share = math.log(1 + _outputs(layer)) / math.log(1 + widest)
    bar = tag("span", layer.kind, class_="block", style=f"--w:{share:.3f}")
    shape = " × ".join("?" if side is None else count(side) for side in layer.output_shape[1:])
    note = [shape or "1"]
    if layer.parameters:
        note.append(f"{count(layer.parameters)} parameters, {percent(layer.parameters / total, 1)}")
    return tag("li", bar, tag("span", " · ".join(note), class_="note"), title=layer.name)


def _outputs(layer: Layer) -> int:
    return math.prod(side for side in layer.output_shape[1:] if side is not None)


def _overview(record: RunRecord) -> str:
    settings = record.settings
    ran = count(settings.epochs, "epoch")
    stopped = ", interrupted" if record.interrupted else ""
    return (
        f"{ran} of batches of {settings.batch_size}{stopped}; the published weights are those of "
        f"epoch {settings.best_epoch}. Validation chose them; the test split had no say."
    )


def _charts(record: RunRecord) -> Iterator[Html]:
    for measure, share in (("accuracy", True), ("loss", False)):
        training, validation = record.history.get(measure), record.history.get(f"val_{measure}")
        if not training and not validation:
            continue
        alt = f"{measure.capitalize()} over {record.settings.epochs} epochs"
        drawn = curve(training, validation, record.settings.best_epoch, share=share, alt=alt)
        told = _ends(measure, training, validation, share=share)
        title = tag("h3", measure.capitalize())
        yield tag("figure", title, drawn, tag("figcaption", told))


def _ends(
    measure: str, training: Sequence[float] | None, validation: Sequence[float] | None, share: bool
) -> str:
    told = [
        f"{name} {measure} {_course_of(values, share)}"
        for name, values in (("training", training), ("validation", validation))
        if values
    ]
    return "; ".join(told).capitalize() + "."


def _course_of(values: Sequence[float], share: bool) -> str:
    last = _number(values[-1], share)
    return last if len(values) == 1 else f"from {_number(values[0], share)} to {last}"


def _number(value: float, share: bool) -> str:
    if not math.isfinite(value):
        return "no finite number"
    return percent(value) if share else f"{value:.4g}"


def _log(record: RunRecord) -> Html:
    present = [key for key in _COLUMNS if record.history.get(key)]
    columns = [record.history[key] for key in present]
    rows = (
        [str(epoch), *(_number(v, "accuracy" in k) for k, v in zip(present, values, strict=True))]
        for epoch, values in enumerate(zip(*columns, strict=False), start=1)
    )
    head = ["epoch", *(_COLUMNS[key] for key in present)]
    return folded("Every epoch in numbers", join([table("Measured per epoch", head, rows)]))
