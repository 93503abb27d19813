"""What a visitor does while the page still waits for something else."""

import pytest
from canned_service import DIGITS, picture
from page_actions import choose, drop, hide, wait_until
from playwright.sync_api import Page, Route, expect

PERMISSION = """() => {
  const media = navigator.mediaDevices;
  const open = media.getUserMedia.bind(media);
  const permitted = new Promise((resolve) => (window.permit = resolve));
  window.streams = [];
  media.getUserMedia = async (wanted) => {
    await permitted;
    const stream = await open(wanted);
    window.streams.push(stream);
    return stream;
  };
}"""
STREAMS = """() => streams.map((stream) =>
  stream.getTracks().some((track) => track.readyState === "live"))"""


def hold(page: Page, pattern: str) -> list[Route]:
    """Let such requests wait; they are added to the list as they come."""
    held: list[Route] = []
    page.route(pattern, lambda route: held.append(route))
    return held


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(lambda page: choose(page, picture("mine.png")), id="picture"),
        pytest.param(lambda page: choose(page, picture("a.png"), picture("b.png")), id="table"),
        pytest.param(lambda page: press(page, "Draw"), id="drawing"),
        pytest.param(lambda page: press(page, "Live camera"), id="second click"),
        pytest.param(hide, id="hidden"),
    ],
)
def test_camera_that_is_left_before_it_is_permitted_stays_off(page, service, leave):
    page.evaluate(PERMISSION)
    press(page, "Live camera")
    expect(page.locator("#video")).to_be_visible()
    leave(page)
    expect(page.locator("#video")).to_be_hidden()
    page.evaluate("permit()")
    wait_until(page, lambda: page.evaluate(STREAMS) == [False])
    assert page.evaluate("document.getElementById('video').srcObject") is None
    assert "camera.jpg" not in {name for _, name, _ in service.predictions}


def test_camera_started_again_before_it_is_permitted_is_one_camera(page):
    page.evaluate(PERMISSION)
    for _ in range(3):
        press(page, "Live camera")
    page.evaluate("permit()")
    expect(page.locator("#label")).to_have_text("9")
    wait_until(page, lambda: page.evaluate(STREAMS) == [False, True])
    with page.expect_response("**/preview"):
        press(page, "Live camera")
    assert page.evaluate(STREAMS) == [False, False]


def test_picture_that_comes_while_a_version_opens_leaves_nothing_of_the_old_version(page, service):
    service.models = [{**DIGITS, "versions": [1, 3], "has_report": True}]
    page.reload()
    opening = hold(page, "**/models/digits/versions/1")
    page.get_by_label("Model").select_option("digits, version 1")
    choose(page, picture("mine.png"))
    wait_until(page, lambda: len(opening) == 2)  # the chooser's request, and the picture's
    for route in opening:
        service.answer(route)
    expect(page.locator("#who")).to_have_text("digits, version 1, says")
    expect(page.locator("#facts")).to_contain_text("not the version that serves")
    report = page.get_by_role("link", name="How it was trained")
    expect(report).to_have_attribute(
        "href", f"{page.url.split('?')[0]}models/digits/versions/1/report"
    )
    assert page.url.endswith("?model=digits&version=1")
    assert [name for _, name, _ in service.predictions] == ["mine.png"]


def test_example_that_comes_after_a_newer_picture_is_not_shown(page, service):
    service.models = [{**DIGITS, "examples": 2}]
    page.reload()
    expect(page.get_by_role("img", name="Example 2")).to_have_js_property("naturalWidth", 40)
    waiting = hold(page, "**/examples/2")
    press(page, "Example 2")
    wait_until(page, lambda: bool(waiting))
    choose(page, picture("mine.png"))
    expect(page.locator("#curl")).to_contain_text("mine.png")
    with page.expect_response("**/examples/2"):
        service.answer(waiting[0])
    page.wait_for_timeout(300)  # for what would be asked now
    assert [name for _, name, _ in service.predictions] == ["mine.png"]
    assert "example" not in page.url


def test_picture_dropped_while_models_load_is_answered_once_they_are(page, service):
    models, service.models = service.models, []
    service.health = {"status": "loading", "reason": "The models are being loaded.", "models": []}
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The models are being loaded.")
    with page.expect_response("**/health"):
        drop(page, "early.png")
    service.models = models
    expect(page.locator("#label")).to_have_text("9")
    assert {name for _, name, _ in service.predictions} == {"early.png"}


def test_table_that_could_not_be_asked_is_asked_again(page, service):
    models = service.models
    service.models = [{"name": "new", "version": None, "image": None}]
    service.health = {"status": "not ready", "reason": "None serves.", "models": []}
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("None serves.")
    with page.expect_response("**/health"):
        drop(page, "a.png", "b.png")
    expect(page.get_by_role("alert")).to_contain_text("None serves.")
    service.models = models
    press(page, "Try again")
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    assert sorted(name for _, name, _ in service.predictions) == ["a.png", "b.png"]


def test_version_that_could_not_be_opened_is_opened_again(page, service):
    service.models = [{**DIGITS, "versions": [1, 3]}]
    page.reload()
    choose(page, picture("mine.png"))
    expect(page.locator("#label")).to_have_text("9")
    page.route("**/models/digits/versions/1", lambda route: route.abort(), times=1)
    page.get_by_label("Model").select_option("digits, version 1")
    expect(page.get_by_role("alert")).to_contain_text("The service did not answer")
    press(page, "Try again")
    expect(page.locator("#who")).to_have_text("digits, version 1, says")
    expect(page.locator("#facts")).to_contain_text("not the version that serves")
