"""One run's results: a table to read, JSON to compute with, an SVG to look at."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

Value = str | int | float | bool | None
Row = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with what was aimed at."""

    name: str
    measured: float
    bound: float
    at_least: bool  # else at most
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the aim was reached."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def as_row(self) -> Row:
        """Return the goal as a row of a table."""
        sign = "≥" if self.at_least else "≤"
        bound = f"{sign} {_text(self.bound)} {self.unit}".strip()
        received = f"{_text(self.measured)} {self.unit}".strip()
        return {"goal": self.name, "aim": bound, "measured": received, "met": self.met}


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart: one bar per row, grouped by series."""

    title: str
    unit: str
    bars: Mapping[str, Mapping[str, float]]  # series -> label -> value


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one benchmark found out."""

    name: str
    machine: Mapping[str, object]
    tables: Mapping[str, Sequence[Row]]
    goals: Sequence[Goal] = ()
    charts: Sequence[Bars] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    def all_tables(self) -> dict[str, Sequence[Row]]:
        """Return the tables, the goals' last."""
        goals = [goal.as_row() for goal in self.goals]
        return {**self.tables, **({"Goals": goals} if goals else {})}


def publish(report: Report, folder: Path, console: Console) -> None:
    """Print the tables; write NAME.json, NAME.md and NAME.svg into `folder`."""
    for title, rows in report.all_tables().items():
        console.print(_table(title, rows))
    for note in report.notes:
        console.print(note)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{report.name}.json").write_text(_json(report), encoding="utf-8")
    (folder / f"{report.name}.md").write_text(_markdown(report), encoding="utf-8")
    if report.charts:
        draw(report.charts, folder / f"{report.name}.svg")
    console.print(f"Written: {folder}/{report.name}.json, .md, .svg")


def draw(charts: Sequence[Bars], path: Path) -> None:
    """Draw the charts side by side, as SVG."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(charts), figsize=(5 * len(charts), 3.4), squeeze=False)
    try:
        for axis, chart in zip(axes[0], charts, strict=True):
            _draw_one(axis, chart)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
    finally:
        plt.close(figure)


def _draw_one(axis: object, chart: Bars) -> None:
    from typing import Any

    ax: Any = axis
    labels = list(next(iter(chart.bars.values())))
    width = 0.8 / len(chart.bars)
    for number, (series, values) in enumerate(chart.bars.items()):
        places = [k + number * width for k in range(len(labels))]
        drawn = ax.bar(places, [values[label] for label in labels], width, label=series)
        ax.bar_label(drawn, fmt=_text, fontsize=8)
    ax.set_xticks([k + 0.4 - width / 2 for k in range(len(labels))], labels)
    ax.set_title(chart.title)
    ax.set_ylabel(chart.unit)
    ax.spines[["top", "right"]].set_visible(False)
    if len(chart.bars) > 1:
        ax.legend(frameon=False)


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in _columns(rows):
        table.add_column(column)
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in _columns(rows)))
    return table


def _markdown(report: Report) -> str:
    parts = [
        f"**{title}**\n\n{markdown_table(rows)}" for title, rows in report.all_tables().items()
    ]
    return "\n".join([*parts, *report.notes, ""])


def markdown_table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table, with an empty line behind it."""
    columns = _columns(rows)
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line([_text(row.get(column)) for column in columns]) for row in rows]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _json(report: Report) -> str:
    content = {
        "machine": report.machine,
        "tables": {title: list(rows) for title, rows in report.tables.items()},
        "goals": [goal.as_row() for goal in report.goals],
        "notes": list(report.notes),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _text(value: Value) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float() if value != value:
            return "–"
        case float() if abs(value) >= 100:
            return f"{value:.0f}"
        case float() if abs(value) >= 0.1 or value == 0:
            return f"{value:.3g}"
        case float():
            return f"{value:.2g}"
    return str(value)
