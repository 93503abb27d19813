"""What goes wrong is said in sentences."""

from canned_service import picture, problem
from page_actions import choose
from playwright.sync_api import expect


def test_broken_file_shows_the_services_sentence_and_request(page, service):
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


def test_overload_says_so_and_the_picture_can_be_sent_again(page, service):
    service.replies = [problem(503, "overloaded", setting="HALFTONE_DEADLINE_MS")]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_contain_text("limit: HALFTONE_DEADLINE_MS")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#label")).to_have_text("9")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_proxy_error_and_an_unreachable_service_are_sentences(page, service):
    service.replies = [{"status": 502, "content_type": "text/html", "body": "<h1>nginx</h1>"}]
    choose(page, picture())
    expect(page.get_by_role("alert")).to_contain_text("The service answered 502 Bad Gateway")
    page.route("**/predict", lambda route: route.abort())
    choose(page, picture())
    expect(page.get_by_role("alert")).to_contain_text("The service did not answer")


def test_no_model_is_a_sentence_until_there_is_one(page, service):
    models = service.models
    service.models = [{"name": "new", "version": None, "image": None}]
    failed = {"name": "new", "failure": "Version 4 cannot serve: its probes differ."}
    service.health = {"status": "not ready", "reason": "None serves.", "models": [failed]}
    page.reload()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("No model is loaded")
    expect(alert).to_contain_text("None serves. Version 4 cannot serve: its probes differ.")
    service.models = models
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#model")).to_contain_text("digits, version 3")
    expect(alert).to_be_hidden()


def test_page_opened_while_models_load_waits_for_them(page, service):
    models, service.models = service.models, []
    service.health = {"status": "loading", "reason": "The models are being loaded.", "models": []}
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The models are being loaded.")
    service.models = models
    expect(page.locator("#model")).to_contain_text("digits, version 3")
    expect(page.get_by_role("alert")).to_be_hidden()
