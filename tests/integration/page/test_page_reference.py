"""/docs in a real Chromium: complete, usable, and nothing asked elsewhere."""

from collections.abc import Iterator

import httpx
import pytest
from canned_service import PATIENCE_MS, picture
from playwright.sync_api import Browser, Page, expect
from service_process import PATIENCE_S, Service
from test_page_live import photo

from app.http.page import POLICY


@pytest.fixture
def url(digits_service: Service) -> str:
    return digits_service.url


@pytest.fixture
def reference(browser: Browser, url: str) -> Iterator[Page]:
    """The page, opened; afterwards nothing may have been asked elsewhere or refused."""
    context, wrong = browser.new_context(color_scheme="dark"), []
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: line.type == "error" and wrong.append(line.text))
    page.on("request", lambda asked: wrong.append(asked.url) if is_elsewhere(asked.url) else None)

    def is_elsewhere(asked: str) -> bool:
        return not asked.startswith((f"{url}/", "blob:", "data:"))

    page.goto(f"{url}/docs")
    yield page
    context.close()
    assert wrong == []


def test_reference_shows_every_operation(reference, url):
    paths = httpx.get(f"{url}/openapi.json", timeout=PATIENCE_S).json()["paths"]
    operations = sum(len(operations) for operations in paths.values())

    expect(reference.locator(".opblock")).to_have_count(operations)
    assert operations > 25
    expect(reference.locator("html")).to_have_class("dark-mode")


def test_an_image_can_be_tried_on_the_reference(reference):
    block = reference.locator("#operations-predict-predict")
    block.locator(".opblock-summary-control").first.click()
    block.get_by_role("button", name="Try it out").click()
    block.locator("input[type=file]").set_input_files(picture(data=photo()))
    block.get_by_role("button", name="Execute").click()

    answer = block.locator(".live-responses-table")
    expect(answer).to_contain_text('"probability"')
    expect(answer).to_contain_text("server-timing")


def test_reference_and_its_files_are_sent_with_the_policy(url):
    for path in ("/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/js/docs.js"):
        response = httpx.get(f"{url}{path}", timeout=PATIENCE_S)
        assert response.status_code == 200, path
        assert response.headers["content-security-policy"] == POLICY
    assert httpx.get(f"{url}/docs/nothing", timeout=PATIENCE_S).json()["code"] == "not_found"
