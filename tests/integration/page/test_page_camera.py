"""Answers while something moves: the camera, and a drawing in the making."""

from canned_service import picture, problem
from page_actions import choose, hide, wait_until
from playwright.sync_api import Page, expect


def start_camera(page: Page) -> None:
    page.get_by_role("button", name="Live camera").click()
    expect(page.locator("#video")).to_be_visible()


def hold_frame(page: Page) -> None:
    """Stop the camera, and wait for the whole answer to its last frame."""
    with page.expect_response("**/preview"):
        page.get_by_role("button", name="Live camera").click()
    expect(page.locator("#video")).to_be_hidden()


def test_camera_is_answered_again_and_again_one_frame_at_a_time(page, service):
    start_camera(page)
    expect(page.locator("#label")).to_have_text("9")
    started = len(service.predictions)
    wait_until(page, lambda: len(service.predictions) >= started + 4)
    assert {name for _, name, _ in service.predictions} == {"camera.jpg"}
    assert all(content.startswith(b"\xff\xd8") for _, _, content in service.predictions)
    service.replies = [None]
    wait_until(page, lambda: bool(service.held))
    waiting = len(service.predictions)
    page.wait_for_timeout(1_000)
    assert len(service.predictions) == waiting
    service.held[0].fulfill(**service.usual("/predict"))
    hold_frame(page)


def test_cameras_answer_is_in_sight_of_a_phone(open_page, service):
    service.models[0] = {**service.models[0], "examples": 10}
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True)
    start_camera(page)
    expect(page.locator("#verdict")).to_be_in_viewport(ratio=0.9)
    expect(page.locator("#video")).to_be_in_viewport(ratio=0.5)
    hold_frame(page)


def test_held_frame_becomes_the_picture(page, service):
    start_camera(page)
    expect(page.locator("#label")).to_have_text("9")
    hold_frame(page)
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    held = len(service.predictions)
    page.wait_for_timeout(700)
    assert len(service.predictions) == held
    assert page.evaluate("document.getElementById('video').srcObject") is None
    expect(page.get_by_role("link", name="Save the picture")).to_be_visible()


def test_camera_stops_when_the_page_is_hidden(page):
    start_camera(page)
    expect(page.locator("#label")).to_have_text("9")
    hide(page)
    expect(page.get_by_role("button", name="Live camera")).to_have_attribute(
        "aria-pressed", "false"
    )
    assert page.evaluate("document.getElementById('video').srcObject") is None


def test_another_picture_ends_the_camera(page):
    start_camera(page)
    choose(page, picture("a.png"), picture("b.png"))
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    expect(page.locator("#video")).to_be_hidden()
    expect(page.locator("#prompt")).to_be_visible()


def test_pixels_and_heat_map_of_the_picture_before_do_not_stay_with_the_camera(page):
    choose(page, picture())
    expect(page.get_by_role("img", name="The pixels the model saw")).to_be_visible()
    page.get_by_label("Where it looked").fill("50")
    expect(page.locator("#heat")).to_be_visible()
    start_camera(page)
    expect(page.locator("#answer")).to_be_visible()
    for part in ("#saw-figure", "#saw", "#heat", "#legend"):
        expect(page.locator(part)).to_be_hidden()
    hold_frame(page)
    expect(page.locator("#saw-figure")).to_be_visible()


def test_refused_frames_are_said_and_the_camera_goes_on(page, service):
    service.replies = [problem(503, "overloaded"), problem(422, "nothing_to_see")]
    start_camera(page)
    expect(page.locator("#label")).to_have_text("9")
    expect(page.locator("#video")).to_be_visible()
    hold_frame(page)


def test_missing_camera_is_a_sentence(open_page):
    page = open_page()
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia =
             () => Promise.reject(new DOMException('no', 'NotFoundError')); }"""
    )
    page.get_by_role("button", name="Live camera").click()
    expect(page.get_by_role("alert")).to_contain_text("No camera")
    expect(page.locator("#prompt")).to_be_visible()


def test_drawing_is_answered_before_the_stroke_ends(page, service):
    page.get_by_role("button", name="Draw").click()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    for step in range(1, 20):
        page.mouse.move(box["x"] + 50 + 5 * step, box["y"] + 60)
    expect(page.locator("#label")).to_have_text("9")
    during = len(service.predictions)
    assert 1 <= during <= 20
    with page.expect_response("**/preview"):
        page.mouse.up()
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    assert len(service.predictions) > during
