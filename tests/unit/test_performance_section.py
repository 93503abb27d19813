"""The pages' performance sections say what the stored results say."""

from pathlib import Path

import pytest

from benchmarks.report import NoSection, comparison, everything, rewrite

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("name", "section"), [("README.md", comparison), ("benchmarks/README.md", everything)]
)
def test_the_section_is_what_the_results_give(name, section):
    page = (ROOT / name).read_text(encoding="utf-8")

    assert rewrite(page, section(RESULTS)) == page


def test_a_page_without_markers_is_refused():
    with pytest.raises(NoSection, match="markers|without"):
        rewrite("# A page", "")
