"""A run's results: printed, kept as JSON, and written into the pages that show them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe

Value = str | int | float | bool | None
Row = Mapping[str, Value]

BEGIN, END = "<!-- performance: begin -->", "<!-- performance: end -->"
COMPARED = ("service-960x480", "service-28x28")
_ORDER = (*COMPARED, "engines", "train")


class NoSection(ValueError):
    """The page has no markers to write between."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with what was aimed at."""

    what: str  # for someone who knows nothing of how it is measured
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
        bound = f"{'≥' if self.at_least else '≤'} {_text(self.bound)} {self.unit}".strip()
        received = f"{_text(self.measured)} {self.unit}".strip()
        return {"what": self.what, "aim": bound, "measured": received, "met": self.met}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one benchmark found out."""

    tables: Mapping[str, Sequence[Row]]
    goals: Sequence[Goal]
    notes: Sequence[str]

    def __add__(self, other: "Report") -> "Report":
        """Return what both found out."""
        return Report(
            {**self.tables, **other.tables},
            [*self.goals, *other.goals],
            [*self.notes, *other.notes],
        )


def publish(name: str, report: Report, folder: Path, console: Console) -> None:
    """Print the tables, and write NAME.json into `folder`."""
    goals = [goal.as_row() for goal in report.goals]
    for title, rows in {**report.tables, "Goals": goals}.items():
        console.print(_table(title, rows))
    for note in report.notes:
        console.print(note)
    content = {
        "machine": describe(),
        "tables": report.tables,
        "goals": goals,
        "notes": report.notes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"Written: {path}")


def rewrite(page: str, section: str) -> str:
    """Return `page` with `section` between its markers.

    Raises:
        NoSection: there are no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise NoSection(f"Expected {BEGIN} and {END}. Received: a page without them")
    return f"{before}{BEGIN}\n\n{section}\n{END}{after}"


def comparison(results: Path) -> str:
    """Return, as Markdown, the service beside others with its network, for both kinds of images."""
    found = [_load(results, name) for name in COMPARED]
    parts = [_measured_on(found[0])]
    for title, rows in (next(iter(one["tables"].items())) for one in found):
        network = rows[0]["network"]
        parts.append(_markdown(title, [row for row in rows if row["network"] == network]))
    return "\n".join(parts)


def everything(results: Path) -> str:
    """Return, as Markdown, every table, goal and note of the stored results."""
    found = {name: _load(results, name) for name in _ORDER}
    parts: list[str] = []
    for name, result in found.items():
        parts += [f"### {name}\n", _measured_on(result)]
        parts += [_markdown(title, rows) for title, rows in result["tables"].items()]
        parts.append(_markdown("What was aimed at", result["goals"]))
        parts += [f"{note}\n" for note in result["notes"]]
    return "\n".join(parts)


def _measured_on(result: dict[str, Any]) -> str:
    cpus, processor = result["machine"]["cpus"], result["machine"]["processor"]
    return f"Measured on {cpus} CPUs ({processor}), with `python -m benchmarks`:\n"


def _load(results: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    return [[_text(row.get(column)) for column in _columns(rows)] for row in rows]


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(*_columns(rows), title=title, title_justify="left")
    for cells in _cells(rows):
        table.add_row(*cells)
    return table


def _markdown(title: str, rows: Sequence[Row]) -> str:
    columns = _columns(rows)
    lines = [
        f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns), *_cells(rows)]
    ]
    return "\n".join([f"**{title}**", "", *lines, ""])


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
