"""Numbers written for people; the template's filters."""

NBSP = "\N{NO-BREAK SPACE}"


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


def milliseconds(ms: float) -> str:
    """Write 3.8123 as "3.81 ms", and what is below one with two digits."""
    return f"{ms:.3g}{NBSP}ms" if ms >= 1 else f"{ms:.2g}{NBSP}ms"
