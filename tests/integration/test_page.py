"""The page in a real Chromium: its own files from a real port, the service's answers canned."""

import csv
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

CHROMIUM = Path("/usr/bin/chromium")
WEB = Path(__file__).parents[2] / "app" / "web"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000  # for a machine that is busy with other things; nothing waits this long
ASKED = re.compile(r"^http://[^/]+/(models|predict|preview|explain)\b")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Chromium at {CHROMIUM}")


def png(width: int = 40, height: int = 30, shade: int = 120) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), shade).save(buffer, "PNG")
    return buffer.getvalue()


def picture(name: str = "casting.png", data: bytes | None = None) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": png() if data is None else data}


def model(name: str, labels: Sequence[str], height: int, width: int) -> dict[str, Any]:
    return {
        "name": name,
        "version": 3,
        "labels": list(labels),
        "image": {"height": height, "width": width, "formats": ["JPEG", "PNG", "WEBP"]},
        "metrics": {"accuracy": 0.9934, "images": 10000},
    }


DIGITS = model("digits", "0123456789", 28, 28)
CASTING = model("casting", ["def_front", "ok_front"], 96, 48)


def problem(status: int, code: str, **members: object) -> dict[str, Any]:
    body = {"type": f"urn:x:{code}", "title": f"Title of {code}", "status": status, "code": code}
    return {
        "status": status,
        "content_type": "application/problem+json",
        "body": json.dumps(
            body | {"detail": f"Detail of {code}.", "request_id": "req-bad"} | members
        ),
    }


class CannedService:
    """Answers the page's requests, and remembers them.

    Attributes:
        models: what GET /models lists; the first is the default.
        replies: used up one per prediction before the usual answer; None waits for `release`.
        explains: whether the service has the /explain route.
    """

    def __init__(self) -> None:
        self.models = [DIGITS, CASTING]
        self.replies: list[dict[str, Any] | None] = []
        self.explains = True
        self.predictions: list[tuple[str, str, bytes]] = []  # path, file name, content
        self.explained: list[str] = []
        self.held: list[Route] = []

    def answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        action = path.rsplit("/", 1)[-1]
        if path == "/models":
            listed = {"models": self.models, "default": self.models and self.models[0]["name"]}
            route.fulfill(json=listed)
        elif action == "predict" and route.request.method == "POST":
            self.predict(route, path)
        elif action == "preview" and route.request.method == "POST":
            spec = self.meant(path)["image"]
            route.fulfill(body=png(spec["width"], spec["height"]), content_type="image/png")
        elif action == "explain" and route.request.method == "POST":
            self.explain(route)
        else:
            route.continue_()

    def predict(self, route: Route, path: str) -> None:
        name, content = uploaded(route)
        self.predictions.append((path, name, content))
        reply = self.replies.pop(0) if self.replies else self.usual(path)
        if reply is None:
            self.held.append(route)
        else:
            route.fulfill(**reply)

    def usual(self, path: str, top: int = -1) -> dict[str, Any]:
        """The last label at 98.71 %, the others share the rest."""
        meant = self.meant(path)
        labels = [meant["labels"][top], *(x for x in meant["labels"] if x != meant["labels"][top])]
        shares = [0.9871] + [0.0129 / (len(labels) - 1)] * (len(labels) - 1)
        ranked = [
            {"label": label, "probability": share}
            for label, share in zip(labels, shares, strict=True)
        ]
        identity = {"name": meant["name"], "version": meant["version"]}
        body = {"request_id": "req-7", "model": identity, **ranked[0], "predictions": ranked}
        timing = "decode;dur=1.24, queue;dur=0.02, inference;dur=3.81, total;dur=5.9"
        return {
            "status": 200,
            "content_type": "application/json",
            "headers": {"Server-Timing": timing},
            "body": json.dumps(body),
        }

    def meant(self, path: str) -> dict[str, Any]:
        named = re.fullmatch(r"/models/([^/]+)/\w+", path)
        name = unquote(named[1]) if named else self.models[0]["name"]
        return next(listed for listed in self.models if listed["name"] == name)

    def explain(self, route: Route) -> None:
        self.explained.append(unquote(urlsplit(route.request.url).query))
        if self.explains:
            route.fulfill(body=png(8, 8, 255), content_type="image/png")
        else:
            route.fulfill(**problem(404, "not_found"))


def uploaded(route: Route) -> tuple[str, bytes]:
    """The name and content of the one multipart field `file`."""
    content_type = route.request.headers["content-type"]
    raw = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message: Message = BytesParser().parsebytes(raw + (route.request.post_data_buffer or b""))
    (part,) = message.get_payload()
    assert part.get_param("name", header="content-disposition") == "file"
    return str(part.get_filename()), part.get_payload(decode=True)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The page's files on a real port, under the policy that the service sends."""

    async def with_policy(request: Any, call_next: Callable[..., Any]) -> Any:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    app = Starlette(
        routes=[Mount("/", StaticFiles(directory=WEB, html=True))],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=with_policy)],
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def service() -> CannedService:
    return CannedService()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, site: str, service: CannedService) -> Iterator[Opener]:
    """Opens the page; afterwards nothing may have gone wrong in it or been asked elsewhere."""
    contexts, wrong = [], []

    def open_with(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: "Security" in line.text and wrong.append(line.text))
        page.on("request", lambda asked: _check_origin(asked.url, site, wrong))
        page.route(ASKED, service.answer)
        page.goto(site)
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


def choose(page: Page, *pictures: dict[str, Any]) -> None:
    page.set_input_files("#files", list(pictures))


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Draw through points given as shares of the pad's sides."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()


def drop(page: Page, *names: str) -> None:
    transfer = page.evaluate_handle(
        """names => { const transfer = new DataTransfer();
             for (const name of names)
               transfer.items.add(new File([new Uint8Array([1, 2])], name, {type: 'image/png'}));
             return transfer; }""",
        list(names),
    )
    page.dispatch_event("#frame", "drop", {"dataTransfer": transfer})


# One picture


def test_chosen_picture_is_answered_with_class_model_and_times(page: Page) -> None:
    choose(page, picture())
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
    expect(page.locator("#trace")).to_have_text("Request req-7")


def test_choose_button_opens_the_file_dialog_for_the_models_formats(page: Page) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose pictures").click()
    assert chooser.value.is_multiple()
    assert page.locator("#files").get_attribute("accept") == "image/jpeg,image/png,image/webp"
    chooser.value.set_files([picture("chosen.png")])
    expect(page.locator("#answer")).to_be_visible()


def test_upload_is_the_file_itself(page: Page, service: CannedService) -> None:
    data = png(shade=7)
    choose(page, picture("seven.png", data))
    expect(page.locator("#answer")).to_be_visible()
    assert service.predictions == [("/predict", "seven.png", data)]


def test_dropped_picture_is_answered(page: Page, service: CannedService) -> None:
    drop(page, "dropped.png")
    expect(page.locator("#label")).to_have_text("9")
    assert [name for _, name, _ in service.predictions] == ["dropped.png"]


def test_dropped_text_is_refused_in_a_sentence(page: Page, service: CannedService) -> None:
    drop(page)
    expect(page.get_by_role("alert")).to_contain_text("That was no picture")
    assert service.predictions == []


def test_pasted_picture_is_answered(open_page: Opener, service: CannedService) -> None:
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


def test_photo_comes_from_the_rear_camera_and_is_offered_to_touch(open_page: Opener) -> None:
    page = open_page()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    page.set_input_files("#camera", [picture("photo.jpg")])
    expect(page.locator("#answer")).to_be_visible()


def test_model_saw_small_pixels_enlarged_without_smoothing(page: Page) -> None:
    choose(page, picture())
    saw = page.locator("#saw")
    expect(saw).to_have_js_property("naturalWidth", 28)
    expect(saw).to_have_css("image-rendering", "pixelated")
    assert page.evaluate("document.getElementById('saw').width") > 150


def test_picture_of_another_shape_keeps_the_models_proportions(page: Page) -> None:
    page.select_option("#model", "casting")
    choose(page, picture())
    expect(page.locator("#saw-size")).to_have_text("48 × 96")
    expect(page.locator("#saw")).to_have_js_property("naturalWidth", 48)
    box = page.locator("#saw").bounding_box()
    assert box is not None
    assert box["height"] / box["width"] == pytest.approx(2, rel=0.01)


def test_choosing_a_model_asks_it_about_the_same_picture(
    page: Page, service: CannedService
) -> None:
    choose(page, picture("same.png"))
    expect(page.locator("#label")).to_have_text("9")
    page.select_option("#model", "casting")
    expect(page.locator("#label")).to_have_text("ok_front")
    assert [(path, name) for path, name, _ in service.predictions] == [
        ("/predict", "same.png"),
        ("/models/casting/predict", "same.png"),
    ]


def test_only_ten_of_many_classes_show_until_all_are_wanted(
    page: Page, service: CannedService
) -> None:
    service.models = [model("many", [f"species {i}" for i in range(120)], 32, 32)]
    page.reload()
    choose(page, picture())
    expect(page.locator("#bars li:visible")).to_have_count(10)
    page.get_by_role("button", name="Show all 120").click()
    expect(page.locator("#bars li:visible")).to_have_count(120)
    page.get_by_role("button", name="Show the first 10").click()
    expect(page.locator("#bars li:visible")).to_have_count(10)


def test_bars_are_as_long_as_their_probability(page: Page) -> None:
    choose(page, picture())
    expect(page.locator("#bars li")).to_have_count(10)
    shares = page.evaluate(
        """async () => { await Promise.all(document.getAnimations().map(a => a.finished));
             return [...document.querySelectorAll('.fill')]
               .map(bar => bar.offsetWidth / bar.parentElement.offsetWidth); }"""
    )
    assert shares[0] == pytest.approx(0.9871, abs=0.01)
    assert max(shares[1:]) < 0.02


def test_labels_are_text_whatever_they_look_like(page: Page, service: CannedService) -> None:
    label = "<img src=x onerror=alert(1)>"
    service.models = [model("odd", ["plain", label], 32, 32)]
    page.reload()
    choose(page, picture(name="<b>.png"))
    expect(page.locator("#label")).to_have_text(label)
    expect(page.locator("#bars .name").first).to_have_text(label)


def test_late_answer_to_an_older_picture_is_not_shown(page: Page, service: CannedService) -> None:
    service.replies = [None, service.usual("/predict", top=4)]
    choose(page, picture("slow.png"))
    expect(page.locator("#result")).to_have_attribute("aria-busy", "true")
    choose(page, picture("fast.png"))
    expect(page.locator("#label")).to_have_text("4")
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#curl")).to_contain_text("fast.png")


def test_version_promoted_meanwhile_appears_in_the_chooser(
    page: Page, service: CannedService
) -> None:
    page.select_option("#model", "casting")
    service.models = [DIGITS, {**CASTING, "version": 4}]
    choose(page, picture())
    expect(page.locator("#who")).to_have_text("casting, version 4, says")
    expect(page.locator("#model option:checked")).to_have_text("casting, version 4")


# Where it looked


def test_heat_map_lies_over_the_pixels_as_strong_as_the_slider(
    page: Page, service: CannedService
) -> None:
    choose(page, picture())
    slider = page.get_by_label("Where it looked")
    expect(slider).to_be_visible()
    expect(page.locator("#heat")).to_be_hidden()
    slider.fill("60")
    expect(page.locator("#heat")).to_have_css("opacity", "0.6")
    page.get_by_label("for", exact=True).select_option("3")
    expect(page.locator("#heat")).to_be_visible()
    assert service.explained == ["label=9", "label=3"]


def test_service_without_heat_maps_shows_no_slider(page: Page, service: CannedService) -> None:
    service.explains = False
    with page.expect_response("**/explain*"):
        choose(page, picture())
    expect(page.locator("#saw")).to_be_visible()
    expect(page.get_by_label("Where it looked")).to_be_hidden()


# Drawing


def test_drawn_strokes_are_sent_as_bright_ink_on_black(page: Page, service: CannedService) -> None:
    page.get_by_role("button", name="Draw").click()
    stroke(page, (0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
    expect(page.locator("#label")).to_have_text("9")
    ((_, name, content),) = service.predictions
    drawn = Image.open(io.BytesIO(content)).convert("L")
    assert name == "drawing.png"
    assert drawn.size == (280, 280)
    assert drawn.getpixel((140, 56)) == 255
    assert drawn.getpixel((20, 260)) == 0


def test_undo_asks_again_and_clear_empties_the_answer(page: Page, service: CannedService) -> None:
    page.get_by_role("button", name="Draw").click()
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    stroke(page, (0.5, 0.2), (0.5, 0.8))
    with page.expect_response("**/predict"):
        page.get_by_role("button", name="Undo").click()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")
    assert service.predictions[-1][2] == service.predictions[0][2]
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answer")).to_be_hidden()


def test_drawing_is_offered_for_small_square_models_only(page: Page) -> None:
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#pad")).to_be_visible()
    page.select_option("#model", "casting")
    expect(page.get_by_role("button", name="Draw")).to_be_hidden()
    expect(page.locator("#pad")).to_be_hidden()


def test_drawing_can_be_saved_for_the_copied_command(page: Page) -> None:
    page.get_by_role("button", name="Draw").click()
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the picture").click()
    assert download.value.suggested_filename == "drawing.png"


# What goes wrong


def test_broken_file_shows_the_services_sentence_and_request(
    page: Page, service: CannedService
) -> None:
    choose(page, picture())
    expect(page.locator("#answer")).to_be_visible()
    service.replies = [problem(415, "unsupported_format")]
    choose(page, picture("broken.png", b"not an image"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Title of unsupported_format")
    expect(alert).to_contain_text("Detail of unsupported_format.")
    expect(alert).to_contain_text("Request req-bad")
    expect(page.locator("#answer")).to_be_hidden()
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_overload_says_so_and_the_picture_can_be_sent_again(
    page: Page, service: CannedService
) -> None:
    service.replies = [problem(503, "overloaded", setting="HALFTONE_DEADLINE_MS")]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_contain_text("limit: HALFTONE_DEADLINE_MS")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#label")).to_have_text("9")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_proxy_error_without_json_is_still_a_sentence(page: Page, service: CannedService) -> None:
    service.replies = [{"status": 502, "content_type": "text/html", "body": "<h1>nginx</h1>"}]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_contain_text("The service answered 502 Bad Gateway")


def test_unreachable_service_is_a_sentence(page: Page) -> None:
    page.route("**/predict", lambda route: route.abort())
    choose(page, picture())
    expect(page.get_by_role("alert")).to_contain_text("The service did not answer")


def test_no_model_is_a_sentence_until_there_is_one(page: Page, service: CannedService) -> None:
    refused = {"version": 4, "reason": "Its probes differ."}
    models = service.models
    service.models = [{"name": "new", "version": None, "image": None, "failure": refused}]
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("No model is loaded")
    expect(page.get_by_role("alert")).to_contain_text("Version 4: Its probes differ.")
    service.models = models
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#model")).to_contain_text("digits, version 3")
    expect(page.get_by_role("alert")).to_be_hidden()


# Several pictures


def test_several_pictures_become_a_table_in_their_order(page: Page, service: CannedService) -> None:
    service.replies = [service.usual("/predict", top=2), problem(422, "undecodable_image")]
    choose(page, picture("a.png"), picture("b.png"), picture("c.png"))
    expect(page.get_by_role("heading", name="2 answers, 1 failed")).to_be_visible()
    rows = page.locator("#rows tr").all_inner_texts()
    assert [[cell.strip() for cell in row.split("\t")[:3]] for row in rows] == [
        ["a.png", "2", "98.71 %"],
        ["b.png", "Title of undecodable_image", ""],
        ["c.png", "9", "98.71 %"],
    ]


def test_table_downloads_as_csv_that_no_spreadsheet_runs(
    page: Page, service: CannedService
) -> None:
    service.replies = [None, problem(422, "undecodable_image", detail='It says "no",\nso there.')]
    evil = '=HYPERLINK("http:x","y").png'
    choose(page, picture(evil), picture("b, c.png"))
    expect(page.locator("#rows .failed")).to_be_visible()
    service.held[0].fulfill(**service.usual("/predict"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename == "predictions.csv"
    text = download.value.path().read_bytes().decode("utf-8-sig")
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert first["file"] == "'" + evil.replace("/", ":")
    assert (first["label"], float(first["probability"])) == ("9", 0.9871)
    assert (first["model"], first["version"]) == ("digits", "3")
    assert sum(float(first[f"p({digit})"]) for digit in range(10)) == pytest.approx(1)
    assert second["file"] == "b, c.png"
    assert second["error"] == 'Title of undecodable_image: It says "no",\nso there.'
    assert (second["label"], second["p(0)"]) == ("", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_csv_cell_that_begins_like_a_formula_is_kept_as_text(page: Page, text: str) -> None:
    cell = page.evaluate("async text => (await import('/js/csv.js')).cell(text)", text)
    assert next(csv.reader(io.StringIO(cell, newline=""))) == [f"'{text}"]


def test_overload_during_a_table_is_waited_out(page: Page, service: CannedService) -> None:
    service.replies = [problem(503, "overloaded"), problem(503, "overloaded")]
    choose(page, picture("a.png"), picture("b.png"))
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    assert len(service.predictions) == 4


def test_stopped_table_keeps_what_it_has(page: Page, service: CannedService) -> None:
    service.replies = [service.usual("/predict")] + [None] * 4
    choose(page, *(picture(f"{i}.png") for i in range(8)))
    expect(page.locator("#rows")).to_contain_text("98.71 %")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="1 answer, 7 not sent")).to_be_visible()
    expect(page.get_by_role("link", name="Download CSV")).to_be_visible()


def test_row_of_the_table_opens_as_a_full_answer(page: Page) -> None:
    choose(page, picture("a.png"), picture("b.png"))
    page.get_by_role("button", name="b.png").click()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#curl")).to_contain_text("b.png")
    expect(page.locator("#batch")).to_be_visible()


# The same request from elsewhere


def test_copied_commands_name_the_request_just_made(open_page: Opener, site: str) -> None:
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


# For everyone


def tab_to(page: Page, name: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"
        )
        if focused.startswith(name):
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_keyboard_alone_chooses_a_model_sends_and_copies(
    open_page: Opener, service: CannedService
) -> None:
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


def test_keyboard_alone_draws(page: Page, service: CannedService) -> None:
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


def test_phone_needs_no_sideways_scrolling(open_page: Opener, service: CannedService) -> None:
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
    for summary in page.locator("summary").all():
        summary.click()
        assert fits()
    service.replies = [problem(415, "x", detail=long)]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_be_visible()
    assert fits()
    choose(page, picture("a.png"), picture(f"{long}.png"))
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    assert fits()


def test_controls_are_large_enough_for_a_finger(open_page: Opener) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    for button in page.locator(".actions button:visible, select:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44


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
def test_text_contrast_is_aa_in_both_schemes(
    open_page: Opener, service: CannedService, scheme: str
) -> None:
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    assert page.evaluate(CONTRASTS) == []
    choose(page, picture())
    expect(page.locator("#answer")).to_be_visible()
    page.get_by_text("curl", exact=True).click()
    assert page.evaluate(CONTRASTS) == []
    service.replies = [problem(503, "overloaded")]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []


def test_dark_scheme_has_a_dark_ground(open_page: Opener) -> None:
    page = open_page(color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(value) for value in re.findall(r"\d+", ground)[:3]) < 64


def test_reduced_motion_moves_nothing(open_page: Opener, service: CannedService) -> None:
    page = open_page(reduced_motion="reduce")
    service.replies = [None]
    choose(page, picture())
    expect(page.locator("#result")).to_have_attribute("aria-busy", "true")
    assert page.evaluate("document.getAnimations().length") == 0


def test_page_names_its_parts_for_assistive_technology(page: Page) -> None:
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
