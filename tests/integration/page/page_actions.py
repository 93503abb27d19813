"""What a visitor does to the page."""

import csv
import io
from collections.abc import Callable
from typing import Any

from canned_service import PATIENCE_MS
from playwright.sync_api import Page


def wait_until(page: Page, holds: Callable[[], bool]) -> None:
    """Return once it holds, for what the page itself does not show."""
    for _ in range(PATIENCE_MS // 20):
        if holds():
            return
        page.wait_for_timeout(20)
    raise AssertionError("It did not come to that.")


def hide(page: Page) -> None:
    """Let the page believe that its tab is in the background."""
    page.evaluate(
        """() => { Object.defineProperty(document, 'hidden', {value: true});
             document.dispatchEvent(new Event('visibilitychange')); }"""
    )


def choose(page: Page, *pictures: dict[str, Any]) -> None:
    page.set_input_files("#files", list(pictures))


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Draw through points given as shares of the pad's sides, and wait for the whole answer."""
    box = page.locator("#pad").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=5)
    with page.expect_response("**/preview"):
        page.mouse.up()


def drop(page: Page, *names: str) -> None:
    transfer = page.evaluate_handle(
        """names => { const transfer = new DataTransfer();
             for (const name of names)
               transfer.items.add(new File([new Uint8Array([1, 2])], name, {type: 'image/png'}));
             return transfer; }""",
        list(names),
    )
    page.dispatch_event("#frame", "drop", {"dataTransfer": transfer})


def download_table(page: Page) -> tuple[str, list[dict[str, str]]]:
    """Return the name of the CSV, and its rows."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    text = download.value.path().read_bytes().decode("utf-8-sig")
    return download.value.suggested_filename, list(csv.DictReader(io.StringIO(text, newline="")))


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element whose label or text begins with `name` has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"
        )
        if focused.startswith(name):
            return
    raise AssertionError(f"Tab never reached {name!r}")
