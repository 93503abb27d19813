"""The bundle's own pictures and its report, on the page."""

import re

import pytest
from canned_service import CASTING, DIGITS, CannedService, gradient, picture, png, problem
from page_actions import choose
from pictures import encoded
from PIL import Image
from playwright.sync_api import expect


@pytest.fixture(autouse=True)
def _examples(service: CannedService) -> None:
    service.models = [{**DIGITS, "examples": 3, "has_report": True}, CASTING]


def test_one_click_answers_an_example(page, service):
    expect(page.get_by_role("button", name=re.compile("^Example"))).to_have_count(3)
    page.get_by_role("button", name="Example 2").click()
    expect(page.locator("#label")).to_have_text("9")
    assert service.predictions == [("/predict", "example-2.png", gradient(40, 30))]
    expect(page.get_by_role("button", name="Example 2")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("link", name="Save the picture")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1200, 720), (360, 740)])
def test_examples_are_in_sight_and_so_is_what_is_said_of_one(open_page, service, width, height):
    service.models = [{**DIGITS, "examples": 10}]
    page = open_page(viewport={"width": width, "height": height}, has_touch=width < 500)
    example = page.get_by_role("button", name="Example 3")
    expect(example).to_be_in_viewport(ratio=0.9)
    example.click()
    expect(page.locator("#label")).to_have_text("9")
    expect(page.locator("#verdict")).to_be_in_viewport(ratio=0.9)


def test_thumbnails_are_the_versions_own(page):
    image = page.get_by_role("img", name="Example 1")
    expect(image).to_have_attribute("src", re.compile("/models/digits/versions/3/examples/1$"))
    expect(image).to_have_js_property("naturalWidth", 40)


def test_models_without_images_offer_none(page):
    page.get_by_role("button", name="Example 1").click()
    expect(page.locator("#label")).to_have_text("9")
    page.get_by_label("Model").select_option("casting, version 3")
    expect(page.get_by_text("Or try one of these")).to_be_hidden()
    expect(page.get_by_role("link", name="How it was trained")).to_be_hidden()
    expect(page.locator("#answer")).to_be_hidden()  # the example was the other model's
    expect(page.locator("#picture")).to_be_hidden()


def test_report_is_linked(page):
    link = page.get_by_role("link", name="How it was trained")
    expect(link).to_have_attribute("href", re.compile("/models/digits/versions/3/report$"))


def test_error_names_the_file(page, service):
    service.replies = [problem(415, "unsupported_format")]
    choose(page, picture("broken.png"))
    expect(page.get_by_role("alert")).to_contain_text("broken.png")


def test_copied_commands_carry_the_keys_header_where_keys_are_asked_for(open_page, service):
    service.asks_for_keys = True
    page = open_page()
    choose(page, picture())
    expect(page.locator("#curl")).to_contain_text('-H "X-API-Key: $API_KEY"')
    code = page.locator("#httpx").text_content() or ""
    compile(code, "copied", "exec")
    assert 'headers={"X-API-Key": os.environ["API_KEY"]}' in code


def test_even_picture_is_cautioned_about(page, service):
    service.seen = png(28, 28, 200)
    choose(page, picture())
    expect(page.locator("#blank")).to_be_visible()
    service.seen = None
    choose(page, picture("other.png"))
    expect(page.locator("#curl")).to_contain_text("other.png")
    expect(page.locator("#blank")).to_be_hidden()


def test_empty_heat_map_explains_itself(page, service):
    service.heat = encoded(Image.new("RGBA", (8, 8)))
    choose(page, picture())
    page.get_by_label("Where it looked").fill("50")
    expect(page.locator("#look-note")).to_have_text(re.compile("the answer stays"))
