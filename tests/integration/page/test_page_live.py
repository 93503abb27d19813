"""The page on the real service: what it shows is what the service says."""

import json
import shutil
import subprocess
import sys

import httpx
import pytest
from canned_service import PATIENCE_MS, picture, png
from page_actions import choose, download_table, stroke
from pictures import encoded
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from service_process import PATIENCE_S, Service

# Strokes as people write them, in tenths of the pad's sides: x and y of point after point.
HANDWRITTEN = {
    "0": ["5 2 3.4 3.2 3 5.5 4 7.8 5.5 8 6.8 6.5 6.8 3.5 5 2"],
    "1": ["5.2 2 5 8"],
    "2": ["3.2 3.5 4 2.2 5.8 2.2 6.4 3.6 3.3 7.8 7 7.8"],
    "3": ["3.4 2.4 6 2.4 6.3 3.8 4.5 4.8 6.5 6 5.8 7.8 3.4 7.5"],
    "4": ["3.8 2 3.4 5.2 6.8 5.2", "6.2 2.2 5.8 8.2"],
    "5": ["6.6 2.2 3.8 2.2 3.6 4.6 6 4.8 6.6 6.5 5.5 7.9 3.4 7.6"],
    "6": ["5.8 2 4 4 3.4 6.4 4.4 8 6 7.8 6.6 6.2 5.4 5.2 3.7 6"],
    "7": ["3.2 2.4 6.8 2.4 4.6 8"],
    "8": ["6.2 3 5 2.2 3.8 3.2 6.2 6.2 5.4 7.8 4.2 7.6 3.8 6.2 6 4 6.2 3"],
    "9": ["6.2 3.4 5 2.2 3.8 3.4 4.4 4.8 6.2 4 6.2 3.4 5.8 8"],
}


@pytest.fixture
def tiny(tiny_service: Service) -> str:
    return f"{tiny_service.url}/"


def visit(browser: Browser, url: str) -> Page:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    expect(page.locator("#model option").first).not_to_have_text("none loaded")
    return page


def photo() -> bytes:
    return encoded(Image.radial_gradient("L").resize((90, 120)), "JPEG")


def test_shown_answer_pixels_and_heat_map_are_the_services(browser, tiny):
    page = visit(browser, tiny)
    choose(page, picture("photo.jpg", photo()))
    expect(page.locator("#answer")).to_be_visible()
    said = httpx.post(f"{tiny}predict", files={"file": photo()}, timeout=PATIENCE_S).json()
    expect(page.locator("#label")).to_have_text(said["label"])
    names = page.locator("#bars .name").all_inner_texts()
    assert names == [entry["label"] for entry in said["predictions"]]
    expect(page.locator("#who")).to_have_text("tiny, version 1, says")
    stages = page.locator("#stages dt").all_inner_texts()
    assert stages == ["decode", "queue", "inference", "other"]
    for image in ("#saw", "#heat"):
        page.get_by_label("Where it looked").fill("70")
        expect(page.locator(image)).to_be_visible()
        expect(page.locator(image)).to_have_js_property("naturalWidth", 10)
        expect(page.locator(image)).to_have_js_property("naturalHeight", 12)
    page.close()


def test_copied_commands_give_the_shown_answer(browser, tiny, tmp_path):
    name = "it's; 1,2.jpg"
    (tmp_path / name).write_bytes(photo())
    page = visit(browser, tiny)
    choose(page, picture(name, photo()))
    expect(page.locator("#answer")).to_be_visible()
    label = page.locator("#label").inner_text()

    def run(*command: str) -> str:
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    httpx_code = page.locator("#httpx").text_content() or ""
    assert run(sys.executable, "-c", httpx_code).split()[0] == label
    if shutil.which("curl"):
        curl_line = page.locator("#curl").text_content() or ""
        assert json.loads(run("sh", "-c", curl_line))["label"] == label
    page.close()


def test_broken_file_is_refused_in_the_services_words(browser, tiny):
    page = visit(browser, tiny)
    choose(page, picture("broken.png", png()[:40]))
    expect(page.get_by_role("alert")).to_contain_text("The image cannot be decoded")
    choose(page, picture("text.png", b"not an image at all"))
    expect(page.get_by_role("alert")).to_contain_text("Not a supported image format")
    expect(page.get_by_role("alert")).to_contain_text("unsupported_format")
    page.close()


def test_table_holds_one_row_per_picture_good_or_broken(browser, tiny):
    page = visit(browser, tiny)
    choose(page, *(picture(f"{i}.png", png(shade=i)) for i in range(12)), picture("x", b"no"))
    expect(page.get_by_role("heading", name="12 answers, 1 failed")).to_be_visible()
    _, rows = download_table(page)
    assert [row["file"] for row in rows] == [*(f"{i}.png" for i in range(12)), "x"]
    assert {row["model"] for row in rows} == {"tiny", ""}
    page.close()


def test_each_example_of_the_shipped_model_is_answered_right_by_one_click(browser, digits_service):
    page = visit(browser, digits_service.url)
    for digit in range(10):
        page.get_by_role("button", name=f"Example {digit + 1}", exact=True).click()
        expect(page.locator("#label")).to_have_text(str(digit))
    page.close()


@pytest.fixture(scope="module")
def drawing(browser: Browser, digits_service: Service) -> Page:
    page = visit(browser, digits_service.url)
    page.get_by_role("button", name="Draw").click()
    return page


@pytest.mark.parametrize("digit", HANDWRITTEN)
def test_drawn_digit_is_recognized(drawing, digit):
    drawing.get_by_role("button", name="Clear").click()
    expect(drawing.locator("#answer")).to_be_hidden()
    for line in HANDWRITTEN[digit]:
        tenths = [float(number) / 10 for number in line.split()]
        with drawing.expect_response("**/predict"):
            stroke(drawing, *zip(tenths[::2], tenths[1::2], strict=True))
    expect(drawing.locator("#label")).to_have_text(digit)
