"""HTML by construction: whatever is not `Html` already is escaped on its way in."""

from collections.abc import Iterable, Sequence
from html import escape

NBSP = "\N{NO-BREAK SPACE}"


class Html(str):
    """Text that is HTML already; plain `str` is text."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | bool | None) -> Html:
    """Return one element.

    Args:
        name: of the element; "img" and the like are closed by HTML itself and take no children.
        children: put in as they are where they are `Html`, escaped otherwise.
        attributes: `class_` is class, `aria_label` is aria-label; None and False are left out.
    """
    opening = "".join([f"<{name}", *_attributes(attributes), ">"])
    if name in ("img", "meta"):
        return Html(opening)
    return Html(f"{opening}{join(children)}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Html:
    """Concatenate parts, escaping those that are not `Html`."""
    return Html(between.join(part if isinstance(part, Html) else escape(part) for part in parts))


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], class_: str | None = None
) -> Html:
    """Return a table whose first column names its rows, in a box that scrolls on its own."""
    header = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = (
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        for row in rows
    )
    grid = tag(
        "table", tag("caption", caption), tag("thead", header), tag("tbody", *body), class_=class_
    )
    return tag("div", grid, class_="scroll", tabindex="0", role="region", aria_label=caption)


def section(anchor: str, title: str, *content: str) -> Html:
    """Return one chapter of the page, reachable by `#anchor`."""
    heading = tag("h2", title, id=f"{anchor}-title")
    return tag("section", heading, *content, id=anchor, aria_labelledby=f"{anchor}-title")


def folded(summary: str, *content: str) -> Html:
    """Return content that opens on a click."""
    return tag("details", tag("summary", summary), *content)


def paragraph(*content: str, class_: str | None = None) -> Html:
    """Return one paragraph."""
    return tag("p", *content, class_=class_)


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Return names with their values, two columns where there is room."""
    rows = (tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs)
    return tag("dl", *rows, class_="facts")


def clamped(text: str) -> Html:
    """Return text that ends in an ellipsis after two lines, its whole shown on hovering."""
    return tag("span", text, class_="clamped", title=text)


def percent(share: float, digits: int = 2) -> str:
    """Write 0.9943 as "99.43 %"; only what is exactly 1 or 0 is written as 100 or 0."""
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) == 100:
        return f">{100 - 10.0**-digits:.{digits}f}{NBSP}%"
    if share > 0 and float(text) == 0:
        return f"<{10.0**-digits:.{digits}f}{NBSP}%"
    return f"{text}{NBSP}%"


def count(number: int, noun: str = "", plural: str = "") -> str:
    """Write 10000 as "10,000", with its noun in the right number where one is given."""
    word = noun if number == 1 else (plural or f"{noun}s")
    return f"{number:,}{NBSP}{word}" if noun else f"{number:,}"


def duration(seconds: float) -> str:
    """Write 754.2 as "12 min 34 s"."""
    if seconds < 10:
        return f"{seconds:.2g}{NBSP}s"
    if seconds < 60:
        return f"{seconds:.0f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60:02d}{NBSP}min"


def _attributes(attributes: dict[str, str | bool | None]) -> Iterable[str]:
    for key, value in attributes.items():
        name = key.rstrip("_").replace("_", "-")
        if value is True:
            yield f" {name}"
        elif value is not None and value is not False:
            yield f' {name}="{escape(value)}"'
