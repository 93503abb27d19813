"""README's performance section says what the stored results say."""

from pathlib import Path

import pytest

from benchmarks.readme import NoSection, rewrite

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_section_is_what_the_results_give() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")

    assert rewrite(page, RESULTS) == page


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(NoSection, match="markers|without"):
        rewrite("# A page", RESULTS)
