"""A real Chromium, and the page in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canned_service import PATIENCE_MS, ROUTES, CannedService, Opener
from in_thread import serving
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.applications import Starlette

from app.http.page import add_page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The page's files on a real port, under the policy that the service sends with them."""
    app = Starlette()
    add_page(app)
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def service() -> CannedService:
    return CannedService()


@pytest.fixture
def open_page(browser: Browser, site: str, service: CannedService) -> Iterator[Opener]:
    """Opens the page; afterwards nothing may have gone wrong in it or been asked elsewhere."""
    contexts, wrong = [], []

    def open_with(address: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: "Security" in line.text and wrong.append(line.text))
        page.on("request", lambda asked: _check_origin(asked.url, site, wrong))
        page.route(ROUTES, service.answer)
        page.goto(site + address)
        expect(page.locator("#model option").first).not_to_have_text("none loaded")
        return page

    yield open_with
    for context in contexts:
        context.close()
    assert wrong == []


def _check_origin(url: str, site: str, wrong: list[str]) -> None:
    if not url.startswith((site, "blob:", "data:")):
        wrong.append(f"asked elsewhere: {url}")


@pytest.fixture
def page(open_page: Opener) -> Page:
    return open_page()
