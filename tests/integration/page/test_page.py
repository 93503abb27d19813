"""One picture: where it comes from, and what the page says of it."""

import io
import re

import pytest
from canned_service import CASTING, DIGITS, model, picture, png, problem
from page_actions import choose, drop, stroke
from PIL import Image
from playwright.sync_api import expect


def test_chosen_picture_is_sent_as_it_is_and_answered_with_class_model_and_times(page, service):
    data = png(shade=7)
    choose(page, picture("seven.png", data))
    expect(page.locator("#label")).to_have_text("9")
    expect(page.locator("#sure")).to_have_text("98.71 %")
    expect(page.locator("#who")).to_have_text("digits, version 3, says")
    expect(page.locator("#announce")).to_have_text("9, 98.71 %. digits, version 3.")
    assert page.locator("#stages .stage").all_inner_texts() == [
        "decode\n1.2 ms",
        "queue\n< 0.1 ms",
        "inference\n3.8 ms",
        "other\n0.8 ms",
    ]
    expect(page.locator("#service-time")).to_have_text("5.9 ms")
    expect(page.locator("#round-trip")).to_have_text(re.compile(r"ms with the way there and back"))
    expect(page.locator("#trace")).to_have_text("This was request req-7.")
    assert service.predictions == [("/predict", "seven.png", data)]


def test_choose_button_opens_the_file_dialog_for_the_models_formats(page):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose pictures").click()
    assert chooser.value.is_multiple()
    types = "image/jpeg,image/png,image/webp,image/heic,.heic,.heif"
    assert page.locator("#files").get_attribute("accept") == types
    chooser.value.set_files([picture("chosen.png")])
    expect(page.locator("#answer")).to_be_visible()


def test_dropped_picture_is_answered_and_dropped_text_refused_in_a_sentence(page, service):
    drop(page)
    expect(page.get_by_role("alert")).to_contain_text("That was no picture")
    drop(page, "dropped.png")
    expect(page.locator("#label")).to_have_text("9")
    assert [name for _, name, _ in service.predictions] == ["dropped.png"]


def test_pasted_picture_is_answered(open_page, service):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => { const pad = document.getElementById('pad');
             const image = await new Promise(done => pad.toBlob(done));
             await navigator.clipboard.write([new ClipboardItem({'image/png': image})]); }"""
    )
    page.keyboard.press("Control+V")
    expect(page.locator("#label")).to_have_text("9")
    expect(page.locator("#curl")).to_contain_text("pasted.png")
    with page.expect_response("**/predict"):
        page.get_by_role("button", name="Paste").click()
    assert len(service.predictions) == 2
    assert all(content.startswith(b"\x89PNG") for _, _, content in service.predictions)


def test_photo_comes_from_the_rear_camera_and_is_offered_to_touch(open_page):
    page = open_page()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    page.set_input_files("#camera", [picture("photo.jpg")])
    expect(page.locator("#answer")).to_be_visible()


def test_another_model_is_asked_about_the_same_picture_and_saw_it_in_its_own_shape(page, service):
    choose(page, picture("same.png"))
    expect(page.locator("#label")).to_have_text("9")
    saw = page.locator("#saw")
    expect(saw).to_have_js_property("naturalWidth", 28)
    expect(saw).to_have_css("image-rendering", "pixelated")  # enlarged without smoothing
    assert page.evaluate("document.getElementById('saw').width") > 150
    page.select_option("#model", "casting")
    expect(page.locator("#label")).to_have_text("ok_front")
    expect(page.locator("#saw-size")).to_have_text("48 × 96")
    expect(saw).to_have_js_property("naturalWidth", 48)
    box = saw.bounding_box()
    assert box["height"] / box["width"] == pytest.approx(2, rel=0.01)
    assert [(path, name) for path, name, _ in service.predictions] == [
        ("/predict", "same.png"),
        ("/models/casting/predict", "same.png"),
    ]


def test_only_ten_of_many_classes_show_until_all_are_wanted(page, service):
    service.models = [model("many", [f"species {i}" for i in range(120)], 32, 32)]
    page.reload()
    choose(page, picture())
    expect(page.locator("#bars li:visible")).to_have_count(10)
    page.get_by_role("button", name="Show all 120").click()
    expect(page.locator("#bars li:visible")).to_have_count(120)
    page.get_by_role("button", name="Show the first 10").click()
    expect(page.locator("#bars li:visible")).to_have_count(10)


def test_bars_are_as_long_as_their_probability(page):
    choose(page, picture())
    expect(page.locator("#bars li")).to_have_count(10)
    shares = page.evaluate(
        """async () => { await Promise.all(document.getAnimations().map(a => a.finished));
             return [...document.querySelectorAll('.fill')]
               .map(bar => bar.offsetWidth / bar.parentElement.offsetWidth); }"""
    )
    assert shares[0] == pytest.approx(0.9871, abs=0.01)
    assert max(shares[1:]) < 0.02


def test_labels_are_text_whatever_they_look_like(page, service):
    label = "<img src=x onerror=alert(1)>"
    service.models = [model("odd", ["plain", label], 32, 32)]
    page.reload()
    choose(page, picture(name="<b>.png"))
    expect(page.locator("#label")).to_have_text(label)
    expect(page.locator("#bars .name").first).to_have_text(label)


def test_late_answer_to_an_older_picture_is_not_shown(page, service):
    service.replies = [None, service.usual("/predict", top=4)]
    choose(page, picture("slow.png"))
    expect(page.locator("#result")).to_have_attribute("aria-busy", "true")
    choose(page, picture("fast.png"))
    expect(page.locator("#label")).to_have_text("4")
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#curl")).to_contain_text("fast.png")


def test_version_promoted_meanwhile_appears_in_the_chooser(page, service):
    page.select_option("#model", "casting")
    service.models = [DIGITS, {**CASTING, "version": 4, "versions": [3, 4]}]
    choose(page, picture())
    expect(page.locator("#who")).to_have_text("casting, version 4, says")
    expect(page.locator("#model option:checked")).to_have_text("casting, version 4, current")


def test_heat_map_is_asked_for_when_it_is_wanted_and_as_strong_as_the_slider(page, service):
    choose(page, picture())
    expect(page.locator("#saw")).to_have_js_property("naturalWidth", 28)
    choose(page, picture("other.png"))
    expect(page.locator("#curl")).to_contain_text("other.png")
    expect(page.locator("#heat")).to_be_hidden()
    assert service.explained == []
    with page.expect_response("**/explain*"):
        page.get_by_label("Where it looked").fill("60")
    expect(page.locator("#heat")).to_have_css("opacity", "0.6")
    with page.expect_response("**/explain*"):
        page.get_by_label("for", exact=True).select_option("3")
    with page.expect_response("**/explain*"):
        choose(page, picture("third.png"))
    expect(page.locator("#heat")).to_be_visible()
    assert service.explained == ["label=9", "label=3", "label=9"]


def test_service_without_heat_maps_keeps_no_slider(page, service):
    service.explains = problem(404, "not_found")
    choose(page, picture())
    page.get_by_label("Where it looked").fill("50")
    expect(page.get_by_label("Where it looked")).to_be_hidden()
    expect(page.locator("#saw")).to_be_visible()


def test_refused_heat_map_leaves_the_answer_and_can_be_asked_again(page, service):
    service.explains = problem(503, "overloaded")
    choose(page, picture())
    slider = page.get_by_label("Where it looked")
    slider.fill("50")
    expect(page.locator("#look-note")).to_have_text("Title of overloaded")
    expect(page.locator("#answer")).to_be_visible()
    service.explains = None
    slider.fill("60")
    expect(page.locator("#heat")).to_be_visible()
    expect(page.locator("#look-note")).to_have_text("")


def test_drawn_strokes_are_sent_as_bright_ink_on_black_and_can_be_saved(page, service):
    page.get_by_role("button", name="Draw").click()
    stroke(page, (0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
    expect(page.locator("#label")).to_have_text("9")
    _, name, content = service.predictions[-1]
    drawn = Image.open(io.BytesIO(content)).convert("L")
    assert name == "drawing.png"
    assert drawn.size == (280, 280)
    assert drawn.getpixel((140, 56)) == 255
    assert drawn.getpixel((20, 260)) == 0
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the picture").click()
    assert download.value.suggested_filename == "drawing.png"


def test_a_tap_is_a_dot(page, service):
    page.get_by_role("button", name="Draw").click()
    with page.expect_response("**/predict"):
        stroke(page, (0.5, 0.5))
    drawn = Image.open(io.BytesIO(service.predictions[-1][2])).convert("L")
    assert drawn.getpixel((140, 140)) == 255
    assert drawn.getpixel((140, 180)) == 0


def test_undo_asks_again_and_clear_empties_the_answer(page, service):
    page.get_by_role("button", name="Draw").click()
    with page.expect_response("**/predict"):
        stroke(page, (0.2, 0.5), (0.8, 0.5))
    one_stroke = service.predictions[-1][2]
    with page.expect_response("**/predict"):
        stroke(page, (0.5, 0.2), (0.5, 0.8))
    assert service.predictions[-1][2] != one_stroke
    with page.expect_response("**/predict"):
        page.get_by_role("button", name="Undo").click()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    assert service.predictions[-1][2] == one_stroke
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answer")).to_be_hidden()


def test_drawing_is_offered_for_small_square_models_only(page):
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#pad")).to_be_visible()
    page.select_option("#model", "casting")
    expect(page.get_by_role("button", name="Draw")).to_be_hidden()
    expect(page.locator("#pad")).to_be_hidden()


def test_copied_commands_name_the_request_just_made(open_page, site):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.select_option("#model", "casting")
    choose(page, picture("it's; a,b.png"))
    page.get_by_text("curl", exact=True).click()
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator("#announce")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == (
        f"curl -sS '{site}models/casting/predict' \\\n"
        """  -F 'file=@"it'\\''s; a,b.png"'"""
    )
    page.get_by_text("Python, httpx").click()
    page.get_by_role("button", name="Copy as httpx").click()
    expect(page.locator("[data-copy=httpx]")).to_have_class(re.compile("done"))
    copied = page.evaluate("navigator.clipboard.readText()")
    compile(copied, "copied", "exec")
    assert f'"{site}models/casting/predict"' in copied
