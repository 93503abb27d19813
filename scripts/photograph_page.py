"""Take the picture of the page that opens the README: an example, and what the model says of it.

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
from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PATIENCE_S = 60
WIDTH, HEIGHT = 1200, 900


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


def photograph(address: str, target: Path) -> None:
    """Ask about an example, show where the model looked, and write a PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        for number in (1, 3, 1, 4):  # the first answers of a service take longer
            page.get_by_role("button", name=f"Example {number}", exact=True).click()
            page.get_by_role("heading", name=str(number - 1), exact=True, level=2).wait_for()
        page.get_by_label("Where it looked").fill("60")
        page.locator("#heat").wait_for()
        page.wait_for_timeout(500)  # bars grow
        page.mouse.move(0, 0)
        page.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    with serving() as served:
        photograph(served, Path(sys.argv[1]))
