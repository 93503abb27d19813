"""Take the picture of the page that opens the README: a drawn digit, and what the model says.

python -m scripts.photograph_page docs/page.png
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PATIENCE_S = 60
WIDTH, HEIGHT = 1200, 800
TWO = [(0.32, 0.35), (0.4, 0.22), (0.58, 0.22), (0.64, 0.36), (0.33, 0.78), (0.7, 0.78)]


@contextmanager
def serving() -> Iterator[str]:
    """Serve the shipped digits model until the block ends; gives the page's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"HALFTONE_MODEL": "digits", "HALFTONE_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "app"], env=os.environ | settings)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address)
        yield address
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(address: str) -> None:
    """Return when the service can answer, or raise TimeoutError."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_ready(address):
        if time.monotonic() > deadline:
            raise TimeoutError(address)
        time.sleep(0.1)


def is_ready(address: str) -> bool:
    """Return whether the service answers, and can predict."""
    try:
        return httpx.get(f"{address}/readyz").is_success
    except httpx.ConnectError:  # not listening yet
        return False


def draw(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw one stroke through points given as shares of the pad's sides."""
    box = page.locator("#pad").bounding_box()
    if box is None:
        raise RuntimeError("the page has no pad")
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def photograph(address: str, target: Path) -> None:
    """Draw a digit on the page, show where the model looked, and write a PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.get_by_role("button", name="Draw").click()
        draw(page, TWO)
        page.get_by_label("Where it looked").fill("60")
        page.locator("#heat").wait_for()
        page.wait_for_timeout(500)  # bars grow
        page.mouse.move(0, 0)
        page.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    with serving() as served:
        photograph(served, Path(sys.argv[1]))
