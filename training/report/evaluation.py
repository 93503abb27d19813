"""The test split: confusion, per-class scores, and whether probabilities mean what they say."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import ClassMetrics
from training.metrics import CALIBRATION_BINS, Reliability, reliability
from training.record import RunRecord
from training.report.markup import (
    Html,
    clamped,
    count,
    folded,
    join,
    paragraph,
    percent,
    section,
    table,
    tag,
)
from training.report.plots import reliability_diagram

_MATRIX_LABELS = 100
_PAIRS_SHOWN = 12
_ROWS_SHOWN = 25
_SHORT_LABEL = 4
_SHORT_HEAD = 24
_FAINTEST = 0.14


def confusion(record: RunRecord) -> Html:
    """Show which class was taken for which, as a matrix and as a list of the worst pairs."""
    counts = np.array(record.test.confusion)
    kept = _worth_showing(counts)
    left_out = len(record.labels) - len(kept)
    intro = paragraph(
        f"Rows are the true classes, columns what the model said, on {count(record.test.images)} "
        f"images of the {record.test.split} split. Blue is right, orange wrong; the depth is the "
        "share of the row.",
        f" The {count(left_out, 'class', 'classes')} with the fewest errors are left out."
        if left_out
        else "",
    )
    labels = [record.labels[index] for index in kept]
    matrix = _matrix(counts[np.ix_(kept, kept)], counts[kept].sum(axis=1), labels, kept)
    return section("confusion", "Confusion", intro, matrix, _worst_pairs(counts, record.labels))


def per_class(record: RunRecord) -> Html:
    """Show precision, recall and F1 of every class; the weakest first where there are many."""
    rows = record.test.per_class
    head = ["class", "precision", "recall", "F1", "images"]
    intro = paragraph(
        "Precision: of the answers that named this class, the share that was right. Recall: of its "
        "images, the share that was found. F1: their harmonic mean."
    )
    every = table("Scores per class", head, map(_scores, rows), class_="scores")
    if len(rows) <= _ROWS_SHOWN:
        return section("classes", "Per class", intro, every)
    weakest = sorted((row for row in rows if row.support), key=lambda row: row.f1)[:_PAIRS_SHOWN]
    first = table("The weakest classes", head, map(_scores, weakest), class_="scores")
    return section("classes", "Per class", intro, first, folded(f"All {len(rows)} classes", every))


def calibration(record: RunRecord) -> Html:
    """Show confidence against accuracy before and after temperature scaling."""
    temperature = record.calibration.temperature
    intro = paragraph(
        "Of all answers given with a probability of 80 %, 80 % should be right: bars on the dashed "
        f"line. One number, the temperature {temperature:.4g}, fitted on validation, divides the "
        "logits and is folded into the published network (",
        _CITATION,
        "). The expected calibration error (ECE) is the mean distance from the line.",
    )
    before = reliability(record.truth, record.uncalibrated)
    after = reliability(record.truth, record.probabilities)
    charts = tag(
        "div",
        _diagram("Before", before, record.calibration.ece_before),
        _diagram("After", after, record.calibration.ece_after),
        class_="charts",
    )
    numbers = folded("The bins in numbers", _bins("before", before), _bins("after", after))
    return section("calibration", "Probabilities that mean something", intro, charts, numbers)


_CITATION = "Guo et al. 2017, On Calibration of Modern Neural Networks"


def _worth_showing(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    off_diagonal = counts - np.diag(np.diag(counts))
    errors = off_diagonal.sum(axis=0) + off_diagonal.sum(axis=1)
    return np.sort(np.argsort(-errors, kind="stable")[:_MATRIX_LABELS])


def _matrix(
    counts: NDArray[np.int64],
    totals: NDArray[np.int64],
    labels: Sequence[str],
    numbers: NDArray[np.int64],
) -> Html:
    longest = max(map(len, labels))
    short = longest <= _SHORT_LABEL or longest * len(labels) <= _SHORT_HEAD
    names = labels if short else [str(number + 1) for number in numbers]
    head = [
        tag("th", name, scope="col", title=label) for name, label in zip(names, labels, strict=True)
    ]
    corner = tag("td", tag("span", "true ↓ "), tag("span", "said →"), class_="corner")
    rows = (
        tag("tr", _row_name(name, label, short), *_cells(row, total, index, labels))
        for index, (row, total, name, label) in enumerate(
            zip(counts, totals, names, labels, strict=True)
        )
    )
    size = "small" if len(labels) > _ROWS_SHOWN else "medium" if len(labels) > 12 else "large"
    caption = tag("caption", "Confusion matrix", class_="hidden")
    grid = tag(
        "table",
        caption,
        tag("thead", tag("tr", corner, *head)),
        tag("tbody", *rows),
        class_=f"matrix {size}",
        style=f"--n:{len(labels)}",
    )
    return tag(
        "div", grid, class_="scroll", tabindex="0", role="region", aria_label="Confusion matrix"
    )


def _row_name(name: str, label: str, short: bool) -> Html:
    if short:
        return tag("th", label, scope="row")
    number = tag("span", name, class_="number")
    return tag("th", tag("span", label, class_="label"), " ", number, scope="row", title=label)


def _cells(row: NDArray[np.int64], total: int, truth: int, labels: Sequence[str]) -> Iterator[Html]:
    for said, number in enumerate(row.tolist()):
        if not number:
            yield _EMPTY_DIAGONAL if said == truth else _EMPTY
            continue
        # The square root makes single errors visible beside hundreds of right answers.
        depth = max(float(np.sqrt(number / total)), _FAINTEST)
        kind = "right" if said == truth else "wrong"
        shade = " deep" if depth > 0.87 else " half" if depth > 0.6 else ""
        meaning = f"{labels[truth]} → {labels[said]}: {number} of {total}"
        style = f"--a:{depth:.2f}"
        yield tag("td", str(number), class_=kind + shade, style=style, title=meaning)


# A hundred classes are ten thousand cells: HTML lets a cell's closing tag be left out.
_EMPTY = Html("<td>")
_EMPTY_DIAGONAL = Html("<td class=diagonal>")


def _worst_pairs(counts: NDArray[np.int64], labels: Sequence[str]) -> Html:
    errors = counts - np.diag(np.diag(counts))
    if not errors.any():
        return paragraph("Not one image was taken for another class.", class_="notice good")
    order = np.argsort(-errors, axis=None, kind="stable")[:_PAIRS_SHOWN]
    pairs = [divmod(int(flat), len(labels)) for flat in order if errors.flat[flat]]
    rows = (
        [
            clamped(labels[t]),
            clamped(labels[s]),
            count(int(errors[t, s])),
            percent(errors[t, s] / counts[t].sum(), 1),
        ]
        for t, s in pairs
    )
    head = ["true class", "taken for", "images", "of the class"]
    return table("The most frequent confusions", head, rows, class_="pairs")


def _scores(row: ClassMetrics) -> Sequence[str]:
    if not row.support:
        return [clamped(row.label), "–", "–", "–", "0"]
    return [
        clamped(row.label),
        *map(_meter, (row.precision, row.recall, row.f1)),
        count(row.support),
    ]


def _meter(share: float) -> Html:
    bar = tag("i", class_="bar true", style=f"--p:{share:.4f}")
    return join([tag("span", percent(share, 1)), bar])


def _diagram(title: str, bins: Reliability, ece: float) -> Html:
    alt = f"Reliability diagram {title.lower()} temperature scaling: ECE {percent(ece)}"
    caption = tag("figcaption", f"{count(int(bins.count.sum()), 'prediction')} in "
                  f"{CALIBRATION_BINS} bins of equal width.")  # fmt: skip
    heading = tag("h3", f"{title}: ECE {percent(ece)}")
    return tag("figure", heading, reliability_diagram(bins, alt), caption)


def _bins(when: str, bins: Reliability) -> Html:
    rows = (
        [f"{100 * low:.0f} – {percent(high, 0)}", percent(confidence), percent(accuracy), count(n)]
        for low, high, confidence, accuracy, n in zip(
            bins.edges[:-1].tolist(),
            bins.edges[1:].tolist(),
            bins.confidence.tolist(),
            bins.accuracy.tolist(),
            bins.count.tolist(),
            strict=True,
        )
        if n
    )
    head = ["probability", "on average", "right", "images"]
    return table(f"Reliability {when} temperature scaling", head, rows)
