"""The real service's report and examples in a real browser: shown, and never run."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import expect
from service_process import running
from test_page_live import visit
from tiny_models import TINY_LABELS, TINY_SPEC, tiny_network

from model_store.pixels.preprocessing import encode_png
from model_store.store.store import ModelStore

STRANGE = """<!DOCTYPE html><html><head><title>strange</title>
<style>p { color: rgb(1, 2, 3) }</style>
<script>document.title = "ran"</script></head>
<body><p onclick="document.title = 'clicked'">Trained.</p>
<img src="/health" onerror="document.title = 'failed'"><a href="#end">down</a></body></html>"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("tensorflow")
    from model_store.making.assembling import assemble

    store = ModelStore(tmp_path_factory.mktemp("strange") / "models")
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 10), np.uint8)
    with store.draft("tiny") as draft:
        given = [encode_png(image) for image in images[:2]]
        made = assemble(draft.folder, tiny_network(0), TINY_SPEC, TINY_LABELS, images, given)
        (draft.folder / "report.html").write_text(STRANGE)
        draft.publish(made)
    with running(store.root) as service:
        service.wait_until_ready()
        yield service.url


def test_examples_of_the_bundle_are_answered(browser, url):
    page = visit(browser, url)
    expect(page.locator("#thumbnails button")).to_have_count(2)
    expect(page.get_by_role("img", name="Example 2")).to_have_js_property("naturalWidth", 10)
    page.get_by_role("button", name="Example 2").click()
    expect(page.locator("#who")).to_have_text("tiny, version 1, says")
    page.close()


def test_report_of_a_stranger_is_shown_and_runs_nothing(browser, url):
    page = visit(browser, url)
    asked: list[str] = []
    page.get_by_role("link", name="How it was trained").click()
    page.on("response", lambda response: asked.append(response.url))
    text = page.get_by_text("Trained.")
    expect(text).to_have_css("color", "rgb(1, 2, 3)")
    text.click()
    assert page.title() == "strange"
    assert page.evaluate("window.origin") == "null"
    page.reload()
    assert [url for url in asked if not url.endswith("/report")] == []
    page.close()
