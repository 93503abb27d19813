"""The page for everyone: by keyboard, on a phone, light and dark, without motion."""

import io
import re

import pytest
from canned_service import model, picture, problem
from page_actions import choose, stroke, tab_to
from PIL import Image
from playwright.sync_api import expect


def test_keyboard_alone_chooses_a_model_sends_and_copies(open_page, service):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    # Listening before the key goes down: a dialog that nobody expects is not intercepted.
    page.on("filechooser", lambda chooser: chooser.set_files([picture("keys.png")]))
    tab_to(page, "Model")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Choose pictures")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#label")).to_have_text("ok_front")
    expect(page.locator("#look")).to_be_visible()
    tab_to(page, "Where it looked")
    page.keyboard.press("End")
    expect(page.locator("#heat")).to_have_css("opacity", "1")
    tab_to(page, "curl")
    page.keyboard.press("Enter")
    tab_to(page, "Copy")
    page.keyboard.press("Space")
    expect(page.locator("#announce")).to_have_text("Copied.")
    assert "keys.png" in page.evaluate("navigator.clipboard.readText()")
    assert service.predictions[0][0] == "/models/casting/predict"


def test_keyboard_alone_draws(page, service):
    tab_to(page, "Draw")
    page.keyboard.press("Enter")
    expect(page.get_by_role("application", name="Drawing pad")).to_be_focused()
    page.keyboard.press("Space")
    for _ in range(15):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator("#label")).to_have_text("9")
    drawn = Image.open(io.BytesIO(service.predictions[0][2])).convert("L")
    column = [drawn.getpixel((140, y)) for y in (40, 80, 130, 180, 220)]
    assert column == [0, 255, 255, 255, 0]
    assert sum(drawn.histogram()[1:255]) < 100  # ink and its soft edge, no mark of the pen


def test_phone_needs_no_sideways_scrolling(open_page, service):
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    long = "a_label_that_goes_on_and_on_without_any_space_" * 3
    service.models = [model("digits-of-a-very-long-name-indeed-0123456789", ["no", long], 28, 28)]
    page.reload()

    def fits() -> bool:
        # A mobile browser widens its viewport to what overflows, so both count.
        return bool(page.evaluate("document.documentElement.scrollWidth + innerWidth <= 720"))

    assert fits()
    choose(page, picture(f"{long}.png"))
    expect(page.locator("#label")).to_have_text(long)
    for summary in page.locator("summary:visible").all():
        summary.click()
        assert fits()
    service.replies = [problem(415, "x", detail=long)]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_be_visible()
    assert fits()
    choose(page, picture("a.png"), picture(f"{long}.png"))
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    assert fits()


BROKEN_WORDS = """() => [...document.querySelectorAll("table th, table td")].flatMap(cell => {
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  const broken = [];
  for (let text; (text = walker.nextNode()); )
    for (const word of text.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (range.getClientRects().length > 1) broken.push(word[0]);
    }
  return broken;
})"""


@pytest.mark.parametrize("beside", [False, True])
def test_phone_breaks_no_word_of_a_table(open_page, service, beside):
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    service.models = [model(name, ["triangles", "circles"], 28, 28) for name in ("old", "new")]
    page.reload()
    if beside:
        page.get_by_label("beside").select_option(index=2)
    refused = problem(415, "x", title="Not a supported image format")
    service.by_name = {"scan.pdf": refused}
    choose(page, picture("IMG 007.jpg"), picture("scan.pdf"))
    expect(page.locator("#batch-title")).to_contain_text("1 answer, 1 failed")
    assert page.evaluate(BROKEN_WORDS) == []


def test_phone_has_controls_for_a_finger_and_shows_the_answer_without_scrolling(open_page):
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    for button in page.locator(".actions button:visible, select:visible").all():
        box = button.bounding_box()
        assert box["height"] >= 44
    page.get_by_role("button", name="Draw").tap()
    stroke(page, (0.5, 0.2), (0.5, 0.8))
    expect(page.locator("#label")).to_be_in_viewport(ratio=1)
    pad = page.locator("#pad").bounding_box()
    assert pad["width"] == pytest.approx(pad["height"], abs=1)


CONTRASTS = """() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if ((colour[3] ?? 1) > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest('.announce, .skip')) continue;
    const [one, two] = [numbers(getComputedStyle(node).color), ground(node)].map(luminance);
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) low.push(`${node.tagName} ${node.textContent.trim().slice(0, 30)}: ${ratio}`);
  }
  return low; }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_is_aa_in_both_schemes(open_page, service, scheme):
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(int(value) for value in re.findall(r"\d+", ground)[:3]) < 64) == (scheme == "dark")
    assert page.evaluate(CONTRASTS) == []
    choose(page, picture())
    expect(page.locator("#answer")).to_be_visible()
    page.get_by_text("curl", exact=True).click()
    assert page.evaluate(CONTRASTS) == []
    service.replies = [problem(503, "overloaded")]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []


def test_reduced_motion_moves_nothing(open_page, service):
    page = open_page(reduced_motion="reduce")
    service.replies = [None]
    choose(page, picture())
    expect(page.locator("#result")).to_have_attribute("aria-busy", "true")
    assert page.evaluate("document.getAnimations().length") == 0


def test_page_names_its_parts_for_assistive_technology(page):
    choose(page, picture())
    expect(page.locator("#answer")).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input:not([hidden]), a, img')]
             .filter(node => node.checkVisibility())
             .filter(node => !(node.textContent.trim() || node.alt || node.ariaLabel
                               || node.labels?.length || node.alt === ''))
             .map(node => node.outerHTML)"""
    )
    assert nameless == []
    expect(page.get_by_role("status")).to_have_count(1)
    expect(page.get_by_role("link", name="API docs")).to_have_attribute("href", "docs")
    assert page.evaluate("document.documentElement.lang") == "en"
