"""README's performance section, written from the results that stand beside the benchmarks."""

import json
from pathlib import Path
from typing import Any

from benchmarks.report import Row, markdown_table

BEGIN, END = "<!-- performance: begin -->", "<!-- performance: end -->"
_ORDER = (
    "service-960x480",
    "service-28x28",
    "overload",
    "engines",
    "decode",
    "train",
    "predict",
)


class NoSection(ValueError):
    """The page has no markers to write between."""


def rewrite(page: str, results: Path) -> str:
    """Return `page` with what stands between the markers made anew from `results`.

    Raises:
        NoSection: there are no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise NoSection(f"Expected {BEGIN} and {END}. Received: a page without them")
    return f"{before}{BEGIN}\n\n{section(results)}\n{END}{after}"


def section(results: Path) -> str:
    """Return the services' tables and every goal of the stored results, as Markdown."""
    found = {name: _load(results / f"{name}.json") for name in _ORDER}
    machine = found["service-960x480"]["machine"]
    tables = [_first_table(found[name]) for name in ("service-960x480", "service-28x28")]
    goals: list[Row] = [goal for result in found.values() for goal in result["goals"]]
    return "\n".join(
        [
            f"Measured on {machine['cpus']} CPUs ({machine['processor']}), with "
            "`python -m benchmarks`:",
            "",
            *tables,
            markdown_table(goals),
        ]
    )


def _first_table(result: dict[str, Any]) -> str:
    title, rows = next(iter(result["tables"].items()))
    return f"**{title}**\n\n{markdown_table(rows)}"


def _load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
