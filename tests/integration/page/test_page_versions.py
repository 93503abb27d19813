"""Which version answers, which one stands beside it, and what the page's address says of both."""

import re

import pytest
from canned_service import CASTING, DIGITS, CannedService, picture, problem
from page_actions import choose, download_table, wait_until
from playwright.sync_api import expect

OLD = "/models/digits/versions/1/predict"


@pytest.fixture(autouse=True)
def _versions(service: CannedService) -> None:
    service.models = [{**DIGITS, "versions": [1, 2, 3]}, CASTING]


def test_chooser_lists_every_version_and_asks_the_chosen_one(page, service):
    assert page.locator("#model option").all_inner_texts() == [
        "digits, version 3, current",
        "digits, version 2",
        "digits, version 1",
        "casting, version 3",
    ]
    page.get_by_label("Model").select_option("digits, version 1")
    expect(page.locator("#facts")).to_contain_text("not the version that serves")
    choose(page, picture())
    expect(page.locator("#who")).to_have_text("digits, version 1, says")
    expect(page.locator("#curl")).to_contain_text(OLD)
    assert [path for path, _, _ in service.predictions] == [OLD]


def test_two_versions_answer_side_by_side(page, service):
    service.by_path = {OLD: service.usual(OLD, top=4)}
    choose(page, picture())
    expect(page.locator("#label")).to_have_text("9")
    page.get_by_label("beside").select_option("digits, version 1")
    expect(page.locator("#beside-label")).to_have_text("4")
    expect(page.locator("#beside-who")).to_have_text("digits, version 1, says")
    expect(page.locator("#agreement")).to_have_text("They disagree.")
    expect(page.locator("#announce")).to_contain_text("They disagree.")
    values = page.locator("#bars li").first.locator(".value").all_inner_texts()
    assert values == ["98.71 %", "0.14 %"]
    page.get_by_label("beside").select_option("digits, version 2")
    expect(page.locator("#agreement")).to_have_text("They agree.")
    page.get_by_label("beside").select_option("nothing")
    expect(page.locator("#beside-says")).to_be_hidden()
    expect(page.locator("#agreement")).to_be_hidden()


def test_nothing_stands_beside_itself(page):
    option = page.locator("#beside option", has_text="digits, version 1")
    page.get_by_label("beside").select_option("digits, version 1")
    page.get_by_label("Model").select_option("digits, version 1")
    expect(option).to_be_disabled()
    expect(page.get_by_label("beside")).to_have_value("")
    page.get_by_label("Model").select_option("casting, version 3")
    expect(option).to_be_enabled()


def test_version_beside_that_cannot_answer_leaves_the_answer(page, service):
    service.by_path = {OLD: problem(503, "model_unusable")}
    page.get_by_label("beside").select_option("digits, version 1")
    choose(page, picture())
    expect(page.locator("#label")).to_have_text("9")
    expect(page.locator("#agreement")).to_contain_text("Title of model_unusable")


def test_classes_that_only_one_of_two_models_knows_have_one_value(page):
    page.get_by_label("beside").select_option("casting, version 3")
    choose(page, picture())
    expect(page.locator("#bars li")).to_have_count(12)
    page.get_by_role("button", name="Show all 12").click()
    last = page.locator("#bars li").last
    assert last.locator(".value:visible").all_inner_texts() == ["–", "1.29 %"]


def test_compared_table_has_the_rows_that_differ_on_top(page, service):
    page.get_by_label("beside").select_option("digits, version 1")
    service.by_name = {"c.png": None}
    choose(page, *(picture(f"{name}.png") for name in "abcd"))
    expect(page.locator("#rows")).to_contain_text("98.71 %")
    page.locator("#columns").get_by_role("button", name="Picture").click()
    expect(page.locator("#columns [aria-sort]")).to_have_count(1)
    for held, top in ((0, -1), (1, 4)):
        wait_until(page, lambda held=held: len(service.held) > held)
        service.held[held].fulfill(**service.usual("/predict", top=top))
    expect(page.get_by_role("heading", name="4 answers, 1 differ")).to_be_visible()
    assert page.locator("#rows .file").all_inner_texts() == ["c.png", "a.png", "b.png", "d.png"]
    expect(page.locator("#columns [aria-sort]")).to_have_count(0)
    _, rows = download_table(page)
    assert [row["label"] for row in rows] == ["9"] * 4
    assert [row["beside_label"] for row in rows] == ["9", "9", "4", "9"]
    assert {row["beside_version"] for row in rows} >= {"1"}


def test_switching_clears_the_table_of_the_other_model_and_asks_again(page, service):
    choose(page, picture("a.png"), picture("b.png"))
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    service.by_name = {"a.png": None, "b.png": None}
    page.get_by_label("Model").select_option("casting, version 3")
    expect(page.get_by_role("heading", name="2 pictures")).to_be_visible()
    expect(page.get_by_role("link", name="Download CSV")).to_be_hidden()
    assert page.locator("#rows .verdict-cell").all_inner_texts() == ["", ""]
    assert page.locator("#sums li").count() == 0
    wait_until(page, lambda: len(service.held) == 2)
    for route in service.held:
        route.fulfill(**service.usual("/models/casting/predict"))
    expect(page.locator("#sums")).to_have_text("ok_front 2")


def test_address_shows_a_colleague_the_same(open_page, service):
    service.models[0]["examples"] = 2
    page = open_page()
    page.get_by_label("Model").select_option("digits, version 1")
    page.get_by_label("beside").select_option("casting, version 3")
    page.get_by_role("button", name="Example 2").click()
    expect(page.locator("#who")).to_have_text("digits, version 1, says")
    expect(page).to_have_url(re.compile(r"\?model=digits&version=1&beside=casting%2F3&example=2$"))
    link = page.url.rpartition("/")[2]
    other = open_page(link)
    expect(other.locator("#who")).to_have_text("digits, version 1, says")
    expect(other.locator("#beside-who")).to_have_text("casting, version 3, says")
    expect(other.get_by_role("button", name="Example 2")).to_have_attribute("aria-pressed", "true")


def test_reload_keeps_the_model(page):
    page.get_by_label("Model").select_option("casting, version 3")
    expect(page).to_have_url(re.compile(r"\?model=casting&version=3$"))
    page.reload()
    expect(page.locator("#model option:checked")).to_have_text("casting, version 3")
    expect(page.locator("#facts")).to_contain_text("48 × 96")


def test_address_of_a_version_that_is_gone_is_a_sentence(open_page):
    page = open_page("?model=digits&version=9")
    expect(page.get_by_role("alert")).to_contain_text("It asks for digits, version 9.")
    expect(page.locator("#model option:checked")).to_have_text("digits, version 3, current")
    choose(page, picture())
    expect(page.locator("#label")).to_have_text("9")


def test_another_picture_takes_the_example_out_of_the_address(open_page, service):
    service.models[0]["examples"] = 2
    page = open_page("?example=1")
    expect(page.locator("#label")).to_have_text("9")
    choose(page, picture("mine.png"))
    expect(page.locator("#curl")).to_contain_text("mine.png")
    assert "example" not in page.url
    expect(page.get_by_role("button", name="Example 1")).to_have_attribute("aria-pressed", "false")


def test_keyboard_alone_compares_two_versions(page):
    page.get_by_label("beside").focus()
    page.keyboard.press("ArrowDown")
    choose(page, picture())
    expect(page.locator("#beside-who")).to_have_text("digits, version 2, says")
