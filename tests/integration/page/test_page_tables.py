"""Several pictures become a table, and the table a CSV."""

import csv
import io

import pytest
from canned_service import picture, problem
from page_actions import choose, download_table
from playwright.sync_api import expect


def test_several_pictures_become_a_table_in_their_order(page, service):
    service.by_name = {
        "a.png": service.usual("/predict", top=2),
        "b.png": problem(422, "undecodable_image"),
    }
    choose(page, picture("a.png"), picture("b.png"), picture("c.png"))
    expect(page.get_by_role("heading", name="2 answers, 1 failed")).to_be_visible()
    rows = page.locator("#rows tr").all_inner_texts()
    assert [[cell.strip() for cell in row.split("\t")[:3]] for row in rows] == [
        ["a.png", "2", "98.71 %"],
        ["b.png", "Title of undecodable_image", ""],
        ["c.png", "9", "98.71 %"],
    ]


def test_picture_of_before_does_not_stand_beside_a_table(page):
    choose(page, picture("before.png"))
    expect(page.locator("#picture")).to_be_visible()
    choose(page, picture("a.png"), picture("b.png"))
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    expect(page.locator("#picture")).to_be_hidden()


def test_table_downloads_as_csv_that_no_spreadsheet_runs(page, service):
    refused = problem(422, "undecodable_image", detail='It says "no",\nso there.')
    service.by_name = {"b, c.png": refused}
    evil = '=HYPERLINK("http:x","y").png'
    choose(page, picture(evil), picture("b, c.png"))
    expect(page.get_by_role("heading", name="1 answer, 1 failed")).to_be_visible()
    name, (first, second) = download_table(page)
    assert name == "predictions.csv"
    assert first["file"] == "'" + evil.replace("/", ":")
    assert (first["label"], float(first["probability"])) == ("9", 0.9871)
    assert (first["model"], first["version"]) == ("digits", "3")
    assert sum(float(first[f"p({digit})"]) for digit in range(10)) == pytest.approx(1)
    assert second["file"] == "b, c.png"
    assert second["error"] == 'Title of undecodable_image: It says "no",\nso there.'
    assert (second["label"], second["p(0)"]) == ("", "")


def test_csv_cells_that_begin_like_formulas_are_kept_as_text(page):
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"]
    line = page.evaluate(
        "async texts => texts.map((await import('/js/csv.js')).cell).join(',')", texts
    )
    assert next(csv.reader(io.StringIO(line, newline=""))) == [f"'{text}" for text in texts]


def test_overload_during_a_table_is_waited_out(page, service):
    service.replies = [problem(503, "overloaded"), problem(503, "overloaded")]
    choose(page, picture("a.png"), picture("b.png"))
    expect(page.get_by_role("heading", name="2 answers")).to_be_visible()
    assert len(service.predictions) == 4


def test_stopped_table_keeps_what_it_has(page, service):
    service.replies = [service.usual("/predict")] + [None] * 4
    choose(page, *(picture(f"{i}.png") for i in range(8)))
    expect(page.locator("#rows")).to_contain_text("98.71 %")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="1 answer, 7 not sent")).to_be_visible()
    expect(page.get_by_role("link", name="Download CSV")).to_be_visible()


def test_row_of_the_table_opens_as_a_full_answer(page):
    choose(page, picture("a.png"), picture("b.png"))
    page.get_by_role("button", name="b.png").click()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#curl")).to_contain_text("b.png")
    expect(page.locator("#batch")).to_be_visible()


def test_table_sorts_by_every_column_and_sums_up(page, service):
    service.by_name = {
        "10.png": service.usual("/predict", top=4),
        "bad.png": problem(422, "undecodable_image"),
    }
    choose(page, *(picture(name) for name in ("10.png", "2.png", "bad.png", "1.png")))
    expect(page.get_by_role("heading", name="3 answers, 1 failed")).to_be_visible()
    assert page.locator("#sums li").all_inner_texts() == ["9 2", "4 1"]

    def after_sorting(column: str) -> list[str]:
        page.locator("#columns").get_by_role("button", name=column).click()
        return page.locator("#rows .file").all_inner_texts()

    assert after_sorting("Picture") == ["1.png", "2.png", "10.png", "bad.png"]
    assert after_sorting("Picture") == ["bad.png", "10.png", "2.png", "1.png"]
    assert after_sorting("Answer")[0] == "10.png"
    assert after_sorting("Answer")[-1] == "bad.png"
    sorted_by = page.locator("#columns [data-sort=label]")
    expect(sorted_by).to_have_attribute("aria-sort", "descending")


def test_csv_is_offered_when_all_answers_are_there(page, service):
    service.by_name = {"b.png": None}
    choose(page, picture("a.png"), picture("b.png"))
    expect(page.locator("#rows")).to_contain_text("98.71 %")
    expect(page.get_by_role("link", name="Download CSV")).to_be_hidden()
    service.held[0].fulfill(**service.usual("/predict"))
    expect(page.get_by_role("link", name="Download CSV")).to_be_visible()


def test_csv_of_a_stopped_table_says_what_is_missing(page, service):
    service.replies = [service.usual("/predict")] + [None] * 4
    choose(page, *(picture(f"{i}.png") for i in range(6)))
    expect(page.locator("#rows")).to_contain_text("98.71 %")
    page.get_by_role("button", name="Stop").click()
    name, rows = download_table(page)
    assert name == "predictions-1-of-6.csv"
    assert [row["error"] for row in rows].count("not sent") == 5
