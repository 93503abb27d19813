"""Two versions on the same images: the paired test, and the command that makes it."""

import json
from collections.abc import Iterator

import click.testing
import numpy as np
import pytest
from scipy import stats
from two_versions import IMAGES, SEEN, TwoVersions
from typer.testing import CliRunner

from model_store.__main__ import app
from model_store.comparing import compare, mcnemar, sentence


@pytest.mark.parametrize(
    ("only_first", "only_second"),
    [(0, 1), (1, 0), (0, 5), (0, 6), (6, 0), (1, 8), (5, 5), (3, 17), (40, 60), (300, 500)],
)
def test_mcnemar_is_the_exact_binomial_test(only_first, only_second):
    expected = stats.binomtest(only_first, only_first + only_second).pvalue
    assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-9)


def rights(only: int, only_other: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which images the other and which this one gets right."""
    other = np.repeat([False, True, True], [only, only_other, both])
    return other, np.repeat([True, False, True], [only, only_other, both])


@pytest.mark.parametrize(
    ("only", "only_other", "verdict"),
    [
        (6, 0, "better"),
        (0, 6, "worse"),
        (5, 0, "no significant difference"),
        (0, 5, "no significant difference"),
        (0, 0, "no significant difference"),
    ],
)
def test_a_verdict_needs_significance(only, only_other, verdict):
    found = compare(4, *rights(only, only_other, 90))

    assert (found.version, found.verdict) == (4, verdict)
    assert (found.only_right, found.only_other_right) == (only, only_other)
    assert found.images == 90 + only + only_other
    assert found.accuracy == pytest.approx((90 + only) / found.images)
    assert found.other_accuracy == pytest.approx((90 + only_other) / found.images)
    assert verdict in sentence(found) and "version 4 has" in sentence(found)


def test_without_images_nothing_is_claimed():
    found = compare(4, *rights(0, 0, 0))

    assert (found.images, found.accuracy, found.other_accuracy) == (0, None, None)
    assert sentence(found) == "no image is new to both this version and version 4"


@pytest.fixture
def two(two_versions: TwoVersions, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoVersions]:
    monkeypatch.setenv("HALFTONE_MODELS", str(two_versions.store.root))
    yield two_versions


def diff(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(app, ["diff", "tiny", *map(str, arguments)])


def test_diff_names_every_changed_image_and_leaves_seen_ones_out(two):
    result = diff(1, 2, two.folder, "--json")

    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert {change["name"]: change["old"] for change in found["changes"]} == {
        name: two.answers[name] for name in two.wrong
    }
    assert all(change["new"] == change["truth"] for change in found["changes"])
    assert (found["images"], found["seen"], found["unreadable"]) == (IMAGES, SEEN, {})
    wrong = len(two.wrong - two.seen)
    fresh = IMAGES - SEEN
    assert found["comparison"] == {
        "version": 1,
        "images": fresh,
        "accuracy": 1.0,
        "other_accuracy": pytest.approx(1 - wrong / fresh),
        "only_right": wrong,
        "only_other_right": 0,
        "p_value": pytest.approx(stats.binomtest(0, wrong).pvalue),
        "verdict": "better",
    }


def test_diff_the_other_way_round_is_worse_and_says_so_in_words(two):
    (two_answers := sorted(two.wrong))
    result = diff(2, 1, two.folder)

    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    name, truth = two_answers[0], two_answers[0].partition("/")[0]
    assert f"{name}: {truth} -> {two.answers[name]} ({truth} is right: worse)" in lines
    assert f"{len(two.wrong)} of {IMAGES} images change their answer." in lines
    assert f"{SEEN} of them were trained on, and do not count in the comparison." in lines
    assert lines[-1].startswith("Version 1: worse (p = ")


def test_a_version_differs_in_nothing_from_itself(two):
    found = json.loads(diff(2, 2, two.folder, "--json").stdout)
    assert (found["changes"], found["seen"]) == ([], 0)
    assert (found["comparison"]["p_value"], found["comparison"]["accuracy"]) == (1, 1)


def test_diff_of_a_version_that_is_not_there_says_which_are(two):
    result = diff(1, 9, two.folder)
    assert (result.exit_code, result.stderr) == (1, "error: tiny has no version 9, only 1, 2\n")
