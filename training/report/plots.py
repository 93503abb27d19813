"""Charts as inline SVG: real text, and colours that follow the page's light or dark theme."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)
from numpy.typing import NDArray

from training.judge.metrics import Reliability, accuracy_interval

# Stand-ins that no chart uses otherwise; the SVG gets the page's CSS variables in their place.
_INK, _MUTED, _GRID = "#010101", "#020202", "#030303"
_FIRST, _SECOND = "#040404", "#050505"
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--line)",
    _FIRST: "rgb(var(--blue))",
    _SECOND: "rgb(var(--orange))",
}
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "text.usetex": False,
    "text.parse_math": False,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.8,
}
_STYLE_ELEMENT = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_GROUP_ID = re.compile(r' id="(?![mp][0-9a-f]{10}")[^"]*"')
_FONT_FAMILY = re.compile(r"font-family: [^;\"]*;? ?")
_LINES: dict[str, dict[str, Any]] = {
    "training": {"color": _SECOND, "linestyle": "--", "marker": "s"},
    "validation": {"color": _FIRST, "linestyle": "-", "marker": "o"},
}
_SIZE = (4.7, 3.0)  # inches of 72 units: narrow, so that text stays readable on a phone


def curve(
    lines: Mapping[str, Sequence[float]], best_epoch: int, *, share: bool, alt: str
) -> Markup:
    """Draw one measure over the epochs, from 1.

    Args:
        lines: one finite value per epoch, for "training" and "validation", in this order.
        best_epoch: the one whose weights were published, marked on the last line.
        share: the measure is a share of 1 and is labelled in percent.
        alt: what the chart shows, for those who do not see it.
    """
    with _figure(_SIZE) as figure:
        axes = figure.add_subplot()
        for name, values in lines.items():
            size = 4 if len(values) <= 12 else 0
            axes.plot(
                np.arange(1, len(values) + 1), values, label=name, markersize=size, **_LINES[name]
            )
        _mark_best(axes, lines["validation"], best_epoch)
        _scale(axes, np.array([*lines.values()]), share=share)
        axes.set_xlabel("epoch")
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)
        return _svg(figure, alt)


def losses_over_inputs(
    names: Sequence[str],
    losses: Sequence[float],
    errors: Sequence[float],
    *,
    chosen: int,
    alt: str,
) -> Markup:
    """Draw a loss with its standard error for every resolution, from coarse to fine.

    Args:
        names: of the resolutions.
        losses: one for each, in nats.
        errors: the standard error of each.
        chosen: index of the one that was published.
        alt: what the chart shows, for those who do not see it.
    """
    with _figure(_SIZE) as figure:
        axes = figure.add_subplot()
        places = np.arange(len(names))
        axes.errorbar(
            places,
            losses,
            yerr=errors,
            color=_FIRST,
            marker="o",
            capsize=4,
            label="validation loss",
        )
        axes.plot(
            [chosen],
            [losses[chosen]],
            linestyle="none",
            marker="D",
            markersize=13,
            markeredgewidth=1.6,
            markeredgecolor=_INK,
            markerfacecolor="none",  # it must not hide the error bar
            label="published",
        )
        axes.set_xticks(places, names)
        axes.set_xlim(-0.4, len(names) - 0.6)
        axes.set_ylim(bottom=0)
        axes.set(xlabel="block means, rows × columns", ylabel="loss")
        figure.legend(loc="outside upper left", ncols=2, fontsize=9)
        return _svg(figure, alt)


def reliability_diagram(bins: Reliability, alt: str) -> Markup:
    """Draw accuracy over confidence per bin, with how many predictions each bin holds."""
    with _figure((4.7, 4.2)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _accuracy_bars(upper, bins)
        width = float(bins.edges[1] - bins.edges[0])
        lower.bar(bins.edges[:-1], bins.count, width, align="edge", color=_MUTED, alpha=0.6)
        lower.set_ylim(0, max(1, int(bins.count.max())) * 1.02)
        lower.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], integer=True))
        lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        lower.set_ylabel("images")
        lower.set_xlabel("probability of the answer")
        figure.align_ylabels()
        return _svg(figure, alt)


def _accuracy_bars(axes: Any, bins: Reliability) -> None:
    used = bins.count > 0
    left, width = bins.edges[:-1][used], float(bins.edges[1] - bins.edges[0])
    accuracy, images = bins.accuracy[used], bins.count[used]
    axes.plot([0, 1], [0, 1], color=_MUTED, linestyle="--", linewidth=1, label="perfect")
    axes.bar(left, accuracy, width * 0.92, align="edge", color=_FIRST, alpha=0.75, label="accuracy")
    axes.hlines(
        bins.confidence[used], left, left + width * 0.92, color=_SECOND, linewidth=2.5,
        label="mean probability",
    )  # fmt: skip
    intervals = [
        accuracy_interval(round(a * n), int(n)) for a, n in zip(accuracy, images, strict=True)
    ]
    low, high = np.array(intervals).reshape(-1, 2).T
    axes.vlines(left + width * 0.46, low, high, color=_INK, linewidth=1, label="95 % interval")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that was right")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.figure.legend(loc="outside upper left", ncols=2, fontsize=9)


def _mark_best(axes: Any, values: Sequence[float], best_epoch: int) -> None:
    axes.axvline(best_epoch, color=_MUTED, linewidth=0.8, linestyle=":")
    axes.plot(
        [best_epoch],
        [values[best_epoch - 1]],
        linestyle="none",
        marker="D",
        markersize=7,
        markeredgewidth=1.6,
        markeredgecolor=_INK,
        markerfacecolor=_FIRST,
        label=f"published: epoch {best_epoch}",
        clip_on=False,
    )


def _scale(axes: Any, values: NDArray[np.float64], *, share: bool) -> None:
    epochs = values.shape[1]  # (lines, epochs)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlim(1 - (margin := min(0.5, 0.02 * epochs)), epochs + margin)
    if share:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    elif values.min() > 0 and values.max() / values.min() > 20:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


@contextmanager
def _figure(size: tuple[float, float]) -> Iterator[Figure]:
    """A figure that pyplot never hears of; matplotlib's settings are put back afterwards."""
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=size, layout="constrained")


def _svg(figure: Figure, alt: str) -> Markup:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # The salt keeps the ids of one chart apart from those of the page's other charts.
    with matplotlib.rc_context({"svg.hashsalt": alt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _themed(buffer.getvalue(), alt)


def _themed(svg: str, alt: str) -> Markup:
    """Make matplotlib's SVG a part of the page: its fonts, its colours, nothing that leaks out."""
    opening, _, body = svg[svg.index("<svg") :].partition(">")
    view_box = opening.partition('viewBox="')[2].partition('"')[0]
    body = _STYLE_ELEMENT.sub("", body)  # its selector would reach the whole page
    body = _GROUP_ID.sub("", body)
    body = _FONT_FAMILY.sub("", body).replace("xlink:href", "href")
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, variable)
    drawing = Markup(body.rpartition("</svg>")[0])  # noqa: S704 matplotlib escapes its text
    svg = Markup('<svg class="chart" role="img" aria-label="{}" viewBox="{}">{}</svg>')
    return svg.format(alt, view_box, drawing)
