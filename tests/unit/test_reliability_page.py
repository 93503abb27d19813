"""docs/reliability.md names tests; every one of them exists."""

import ast
import re
from functools import cache
from pathlib import Path

from commands import ROOT

PAGE = ROOT / "docs" / "reliability.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named_tests() -> list[tuple[str, str]]:
    return NAMED.findall(PAGE.read_text(encoding="utf-8"))


@cache
def functions_of(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_page_names_exists():
    named = named_tests()

    assert len(named) > 40
    assert [pair for pair in named if pair[1] not in functions_of(ROOT / pair[0])] == []


def test_every_row_of_the_promises_names_a_test():
    text = PAGE.read_text(encoding="utf-8")
    tables = re.findall(r"^\| promise \|.*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]

    assert len(rows) > 30
    assert [row for row in rows if not NAMED.search(row)] == []


def test_the_bounds_on_the_page_are_those_of_the_code():
    from app.settings import Settings
    from model_store.pixels import guards

    text = PAGE.read_text(encoding="utf-8").replace(",", "")
    limits = [
        *(value for name, value in vars(guards).items() if name.startswith(("MAX_", "USUAL_"))),
        *(Settings.model_fields[name].default for name in ("max_upload_bytes", "max_pixels")),
    ]

    assert [limit for limit in limits if not re.search(rf"\b{limit}\b", text)] == []
