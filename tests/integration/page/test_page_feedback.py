"""That's wrong: a picture under its right label."""

import pytest
from canned_service import CASTING, DIGITS, CannedService, model, picture
from page_actions import choose
from playwright.sync_api import expect


@pytest.fixture(autouse=True)
def _keeps(service: CannedService) -> None:
    service.keeps_feedback = True


def test_one_click_keeps_the_picture_under_its_right_label(page, service):
    choose(page, picture("seven.png"))
    expect(page.locator("#label")).to_have_text("9")
    page.get_by_text("That's wrong").click()
    assert page.locator("#labels button:visible").all_inner_texts() == list("012345678")
    page.locator("#labels").get_by_role("button", name="7").click()
    expect(page.locator("#kept")).to_have_text("Kept as 7: digits/7/ab.png")
    assert service.kept == [("/models/digits/versions/3/feedback", "seven.png", {"label": "7"})]
    choose(page, picture("other.png"))
    expect(page.locator("#curl")).to_contain_text("other.png")
    expect(page.locator("#kept")).to_have_text("")
    expect(page.locator("#labels button").first).to_be_visible()  # it stays open


def test_correction_goes_to_the_version_that_answered(page, service):
    service.models = [{**DIGITS, "versions": [2, 3]}]
    page.reload()
    page.get_by_label("Model").select_option("digits, version 2")
    choose(page, picture())
    page.get_by_text("That's wrong").click()
    page.locator("#labels").get_by_role("button", name="7").click()
    expect(page.locator("#kept")).to_contain_text("Kept as 7")
    assert service.kept[0][0] == "/models/digits/versions/2/feedback"


def test_correction_goes_to_the_model_that_became_the_default_meanwhile(page, service):
    service.models = [CASTING, DIGITS]
    with page.expect_response("**/models"):
        choose(page, picture())
    expect(page.locator("#who")).to_have_text("casting, version 3, says")
    page.get_by_text("That's wrong").click()
    assert page.locator("#labels button:visible").all_inner_texts() == ["def_front"]
    page.locator("#labels").get_by_role("button", name="def_front").click()
    expect(page.locator("#kept")).to_contain_text("Kept as def_front")
    assert service.kept[0][0] == "/models/casting/versions/3/feedback"
    choose(page, picture("digit.png"))
    expect(page.locator("#who")).to_have_text("digits, version 3, says")
    assert service.predictions[-1][:2] == ("/models/digits/predict", "digit.png")


def test_slip_can_be_undone(page, service):
    choose(page, picture())
    page.get_by_text("That's wrong").click()
    labels = page.locator("#labels")
    expect(labels.get_by_role("button", name="9")).to_be_hidden()
    labels.get_by_role("button", name="7").click()
    expect(labels.get_by_role("button", name="9")).to_be_visible()
    labels.get_by_role("button", name="9").click()
    expect(page.locator("#kept")).to_contain_text("Kept as 9")
    assert [fields["label"] for _, _, fields in service.kept] == ["7", "9"]


def test_many_labels_are_a_list_and_a_slip_in_it_can_be_undone(page, service):
    service.models = [model("many", [f"species {i}" for i in range(40)], 32, 32)]
    service.by_path = {"/predict": service.usual("/predict", top=0)}
    page.reload()
    choose(page, picture())
    page.get_by_text("That's wrong").click()
    expect(page.get_by_label("What it shows")).to_have_value("species 1")
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#kept")).to_contain_text("Kept as species 1")
    page.get_by_label("What it shows").select_option("species 0")
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#kept")).to_contain_text("Kept as species 0")


def test_refusal_is_said(page):
    page.route("**/feedback", lambda route: route.abort())
    choose(page, picture())
    page.get_by_text("That's wrong").click()
    page.locator("#labels").get_by_role("button", name="7").click()
    expect(page.locator("#kept")).to_contain_text("The service did not answer")


def test_service_that_keeps_nothing_is_not_asked_to(open_page, service):
    service.keeps_feedback = False
    page = open_page()
    choose(page, picture())
    expect(page.locator("#answer")).to_be_visible()
    expect(page.get_by_text("That's wrong")).to_be_hidden()
