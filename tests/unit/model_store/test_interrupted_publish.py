"""Killed at any system call of a publish, or out of space at any of them: old state or new."""

from pathlib import Path
from typing import Any

import pytest
from child_programs import json_lines

PROGRAM = Path(__file__).with_name("interrupted_publish.py")
KILLED, REFUSED, FINISHED = 9, 3, 0

OLD = {"versions": [1], "weights": ["first"], "current": 1, "previous": None}
NEW = {"versions": [1, 2], "weights": ["first", "second"], "current": 2, "previous": 1}
# Complete and verified, and not promoted yet: what serves is still the old one.
MOVED_IN = NEW | {"current": 1, "previous": None}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return json_lines(PROGRAM, str(tmp_path_factory.mktemp("killed")), "kill")


@pytest.fixture(scope="module")
def out_of_space(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return json_lines(PROGRAM, str(tmp_path_factory.mktemp("full")), "enospc")


def test_a_publish_killed_at_any_call_leaves_the_old_state_or_the_new(killed):
    *interrupted, finished = killed

    assert len(interrupted) > 60
    assert all(report["code"] == KILLED for report in interrupted)
    found = [report["after"] for report in interrupted]
    assert all(state in (OLD, MOVED_IN, NEW) for state in found)
    assert all(state in found for state in (OLD, MOVED_IN, NEW))
    assert finished["code"] == FINISHED
    assert finished["after"] == NEW


def test_a_publish_out_of_space_at_any_call_changes_nothing_or_finishes(out_of_space):
    *interrupted, finished = out_of_space

    assert len(interrupted) > 30
    for report in interrupted:
        assert report["code"] == REFUSED, report
    # The last call flushes the folder, after the new pointer is in place.
    assert all(report["after"] == OLD for report in interrupted[:-1])
    assert interrupted[-1]["after"] == NEW
    assert finished["after"] == NEW


@pytest.mark.parametrize("reports", ["killed", "out_of_space"])
def test_the_publish_after_an_interrupted_one_works_and_sweeps(request, reports):
    for report in request.getfixturevalue(reports):
        state = report["next"]
        assert state["weights"][-1] == "third", report
        assert state["current"] == state["versions"][-1], report
        assert state["previous"] == report["after"]["current"], report
        assert state["versions"][:-1] == report["after"]["versions"], report
        assert report["debris"] == [], report
