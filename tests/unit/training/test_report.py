import base64
import io
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image
from run_records import run_record

from model_store.comparing import compare
from training.judge.metrics import measure
from training.record import RunRecord, Sample
from training.report import write_report
from training.report.text import NBSP, count, duration, percent

VOID = {"img", "meta"}
# HTML closes these by itself; the matrix makes use of it.
SELF_CLOSING = {"td", "tr"}


class _Page(HTMLParser):
    """What a browser would find: elements, text, ids; complains about what is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self._skip = 0
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "td" and self._open[-1] == "td":
            self._open.pop()
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open[-1] != tag and self._open[-1] in SELF_CLOSING:
            self._open.pop()
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data.replace(NBSP, " ")

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]


def _report(record: RunRecord, folder: Path) -> _Page:
    path = folder / "report.html"
    write_report(path, record)
    return _Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> _Page:
    """The report of the plain run, for tests that only look."""
    return _report(run_record(), tmp_path_factory.mktemp("plain"))


def test_it_holds_every_chapter_and_its_figures(page):
    record = run_record()
    anchors = [a["href"].removeprefix("#") for a in page.all("a")]
    assert anchors == [s["id"] for s in page.all("section")]
    assert len(set(anchors)) == len(anchors) == 13
    for shown in (
        percent(record.test.accuracy),
        f"{record.test.loss:.4f}",
        percent(record.calibration.ece_before),
        percent(record.calibration.ece_after),
        record.dataset.fingerprint,
        record.findings[0],
        "3.15.1",
        "openvino-int8",
        "dense (Dense)",
        "12 min 34",
        "01 March 2026",
        "flips+shifts",
    ):
        assert shown.replace(NBSP, " ") in page.text


def test_nothing_is_fetched_and_nothing_runs(page):
    elements = Counter(element for element, _ in page.elements)
    assert not elements.keys() & {"script", "link", "iframe", "object", "embed"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:image/png;base64,"))
    assert "@import" not in page.html
    assert not re.search(r"url\((?!#)", page.html)
    policy = next(m for m in page.all("meta") if m.get("http-equiv"))
    assert policy["content"].startswith("default-src 'none'")


def test_every_image_and_chart_is_described(page):
    assert all(img["alt"] for img in page.all("img"))
    charts = page.all("svg")
    assert len(charts) == 5
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in charts)


def test_ids_are_unique_and_what_they_name_exists(page):
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert [name for name, times in ids.items() if times > 1] == []
    named = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page.html))
    assert {a or b for a, b in named} <= ids.keys()


def test_charts_keep_their_text_and_follow_the_theme(page):
    assert "validation" in page.text
    assert "published: epoch 10" in page.text
    assert "var(--ink)" in page.html
    assert not re.search(r"#0[1-5]0[1-5]0[1-5]", page.html)
    assert "DejaVu" not in page.html


def test_labels_and_file_names_are_text_never_markup(tmp_path):
    hostile = "<img src=x onerror=alert(1)>&\"'"
    turned = {"augmentation": f"{hostile} turned"}
    record = run_record((hostile, "$x_1$"), images=200, skill=1.0, settings=turned)
    record = replace(
        record,
        name=hostile,
        wrong=[replace(record.wrong[0], path=f"{hostile}.png")],
        findings=[f"{hostile} is broken"],
        summary=f"{hostile} summary",
        libraries={f"{hostile} library": f"{hostile} version"},
        seconds={f"{hostile} stage": 1.0},
    )
    page = _report(record, tmp_path)
    assert hostile not in page.html
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert not any(img["src"] == "x" for img in page.all("img"))
    for shown in (".png", " is broken", " summary", " library", " version", " stage", " turned"):
        assert f"{hostile}{shown}" in page.text
    assert any(img["alt"] == f"Training image 1 of class {hostile}" for img in page.all("img"))


def test_images_are_those_of_the_record(page):
    record = run_record()
    sources = {img["alt"]: img["src"] for img in page.all("img")}
    encoded = sources["Training image 1 of class cat"].partition("base64,")[2]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels, record.class_samples["cat"][0])


def test_a_report_without_images_holds_none_and_says_so(tmp_path):
    page = _report(run_record(images_in_report=False), tmp_path)
    assert page.all("img") == []
    assert "Without images, as asked for" in page.text
    assert "cat/0" not in page.text
    anchors = [a["href"].removeprefix("#") for a in page.all("a")]
    assert anchors == [s["id"] for s in page.all("section")]
    assert "predictions" not in anchors


def test_large_images_are_shrunk_until_the_file_is_small(tmp_path):
    record = run_record(size=(960, 480), images=60, skill=1.5)
    page = _report(record, tmp_path)
    assert len(page.html) < 3_000_000
    sizes = [(int(img["width"]), int(img["height"])) for img in page.all("img")]
    assert all(height == pytest.approx(2 * width, abs=2) for width, height in sizes)
    assert max(height for _, height in sizes) <= 320


REX = Sample("dog/rex.png", np.zeros((28, 28), np.uint8), 1, np.array([0.8125, 0.1875], np.float32))
NONE_WRONG = "No wrong prediction on the test split", "Not one image was taken for another class"
RIGHT = np.arange(60) < 50
OTHERS = (
    "logistic regression81.25 %0.40000.003",
    "The version that served: no significant difference (p = 1)",
    "version 7 has 83.33%",
)
NO_TRIALS = run_record().settings.selection.model_copy(update={"candidates": ()})
TOLD: dict[str, tuple[dict[str, Any], int, tuple[str, ...]]] = {
    # what is unusual about a run, the charts of its report, and words in it
    "one mistake, other models": (
        {"wrong": [REX], "right": [], "comparison": compare(7, RIGHT[::-1], RIGHT)},
        5, ("rex.png", "81.2 %", "18.8 %", *OTHERS),
    ),
    "no mistake, no trials": (
        {"skill": 40.0, "settings": {"selection": NO_TRIALS}},
        4, (*NONE_WRONG, "100.00 %", "no candidate was tried"),
    ),
    "one epoch on block means, no choice": (
        {"epochs": 1, "images": 5, "interrupted": True, "settings": {"pool": 8, "selection": None}},
        4,
        (
            "Training was interrupted after 1 epoch.",
            "published: epoch 1",
            "means over 8 × 8 pixels",
            "no candidate was tried",
        ),
    ),
    "many labels, a loss that falls far": (
        {"labels": [f"l{i}" for i in range(130)], "images": 400, "skill": 5.0, "epochs": 20},
        5, ("30 classes with the fewest errors are left out", "20 epochs"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "charts", "words"), TOLD.values(), ids=TOLD)
def test_what_is_special_about_a_run_is_told(tmp_path, page, changes, charts, words):
    told = _report(run_record(**changes), tmp_path)
    assert [word for word in words if word not in told.text] == []
    assert len(told.all("svg")) == charts
    taken = [img["alt"] for img in told.all("img") if "taken for" in img["alt"]]
    assert "wrong" not in changes or taken == ["Image of class dog, taken for cat"]
    assert "means over" not in page.text


def test_the_matrix_holds_the_counts_and_a_class_without_test_images_has_no_scores(tmp_path):
    labels, record = ("a", "b", "c"), run_record(("a", "b"), skill=1.0)
    probabilities = np.pad(record.probabilities, ((0, 0), (0, 1)))
    metrics = measure("test", labels, record.truth, probabilities)
    seen = {"test": metrics, "truth": record.truth, "probabilities": probabilities}
    page = _report(run_record(labels, **seen), tmp_path)

    cells = re.findall(r'title="(\w) → (\w): (\d+) of (\d+)"', page.html)
    shown = {(t, s): int(number) for t, s, number, _ in cells}
    assert metrics.confusion[0][1] > 0
    for t, row in zip("abc", metrics.confusion, strict=True):
        assert [shown.get((t, s), 0) for s in "abc"] == list(row)
    assert re.search(r">c</span></th><td>–</td><td>–</td><td>–</td><td>0</td>", page.html)


def test_a_hundred_long_labels_stay_readable(tmp_path):
    labels = [f"class {i:03} {'with a very long name ' * 4}" for i in range(100)]
    record = run_record(labels, images=3000, skill=4.0, size=(64, 96))
    page = _report(record, tmp_path)
    assert len(page.html) < 3_000_000
    matrix = page.html.partition('<table class="matrix small"')[2] or page.html
    assert matrix.count("<th") >= 200
    assert "All 100 classes" in page.text
    assert "80 more classes" in page.text


def test_what_was_tried_is_told_and_the_resolutions_drawn(page):
    selection = run_record().settings.selection
    assert "Chosen: 28 × 28 block means, augmentation flips+shifts" in page.text
    assert selection.reason in page.text
    for one in selection.candidates:
        assert f"{one.loss:.4f} ± 0.0150" in page.text
    (caption,) = re.findall(r"The chosen augmentation at each resolution.*?<", page.html)
    assert "14 × 14: 0.2150 ± 0.0150; 28 × 28: 0.1250 ± 0.0150." in caption


def test_the_same_run_gives_the_same_file_alone_and_leaves_matplotlib_as_it_was(tmp_path, page):
    before = dict(matplotlib.rcParams)
    write_report(tmp_path / "report.html", run_record())
    assert dict(matplotlib.rcParams) == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_bytes() == page.html.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (percent(1), "100.00 %"),
        (percent(0.99999), ">99.99 %"),  # all or nothing only where it is
        (percent(0), "0.00 %"),
        (percent(1e-9), "<0.01 %"),
        (percent(0.5), "50.00 %"),
        (duration(0.125), "0.12 s"),
        (duration(9.96), "10 s"),
        (duration(59.4), "59 s"),
        (duration(754.2), "12 min 34 s"),
        (duration(5400), "1 h 30 min"),
        (count(1, "class", "classes"), "1 class"),
    ],
)
def test_numbers_are_written_for_people(text, expected):
    assert text.replace(NBSP, " ") == expected
