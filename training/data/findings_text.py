"""What `check` prints."""

from collections.abc import Iterator, Mapping

from training.data.check import Findings

_SIZES_SHOWN = 5


def describe(findings: Findings) -> str:
    """Return the findings as plain text: what is there, then what to look at."""
    return "\n".join(_lines(findings))


def _lines(findings: Findings) -> Iterator[str]:
    for split, counts in findings.counts.items():
        title = "images" if split == "all" else split
        yield f"{title}: {sum(counts.values())} in {len(counts)} classes"
        width = max((len(label) for label in counts), default=0)
        for label, count in counts.items():
            yield f"  {label:<{width}}  {count:>7}"
    yield f"formats: {_counted(findings.formats)}"
    yield f"modes: {_counted(findings.modes)}"
    yield f"sizes (width x height): {_counted(findings.sizes)}"
    if (size := findings.size) is not None:
        yield f"a size that suits them: {size.options}"
    warnings = findings.warnings()
    yield f"warnings: {len(warnings) or 'none'}"
    for warning in warnings:
        yield f"  - {warning}"


def _counted(counts: Mapping[str, int]) -> str:
    shown = [f"{name} ({count})" for name, count in list(counts.items())[:_SIZES_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
