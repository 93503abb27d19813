"""Killed at any system call of a publish, or out of space at any of them: old state or new."""

import json
from pathlib import Path
from typing import Any

import pytest
from child_programs import json_lines

PROGRAM = Path(__file__).with_name("interrupted_publish.py")
ROOT = Path(__file__).resolve().parents[3]
KILLED, REFUSED, FINISHED = 9, 3, 0

OLD = {"versions": [1], "weights": ["first"], "current": 1, "previous": None}
NEW = {"versions": [1, 2], "weights": ["first", "second"], "current": 2, "previous": 1}
# Complete and verified, and not promoted yet: what serves is still the old one.
MOVED_IN = NEW | {"current": 1, "previous": None}


def run(folder: Path, mode: str) -> list[dict[str, Any]]:
    return json_lines(PROGRAM, str(folder), mode)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(tmp_path_factory.mktemp("killed"), "kill")


@pytest.fixture(scope="module")
def out_of_space(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(tmp_path_factory.mktemp("full"), "enospc")


def test_a_publish_killed_at_any_call_leaves_the_old_state_or_the_new(killed):
    *interrupted, finished = killed

    assert len(interrupted) > 60
    assert all(report["code"] == KILLED for report in interrupted)
    assert all(report["after"] in (OLD, MOVED_IN, NEW) for report in interrupted)
    assert {json.dumps(report["after"]) for report in interrupted} >= {
        json.dumps(OLD),
        json.dumps(MOVED_IN),
        json.dumps(NEW),
    }
    assert finished["code"] == FINISHED
    assert finished["after"] == NEW


def test_the_publish_after_a_killed_one_works_and_sweeps(killed):
    for report in killed:
        state = report["next"]
        assert state["weights"][-1] == "third", report
        assert state["current"] == state["versions"][-1], report
        assert state["previous"] == report["after"]["current"], report
        assert state["versions"][:-1] == report["after"]["versions"], report
        assert report["debris"] == [], report


def test_a_publish_out_of_space_at_any_call_changes_nothing_or_finishes(out_of_space):
    *interrupted, finished = out_of_space

    assert len(interrupted) > 30
    for report in interrupted:
        assert report["code"] == REFUSED, report
    # The last call flushes the folder, after the new pointer is in place.
    assert all(report["after"] == OLD for report in interrupted[:-1])
    assert interrupted[-1]["after"] == NEW
    assert finished["after"] == NEW


def test_the_publish_after_one_out_of_space_works(out_of_space):
    for report in out_of_space:
        assert report["next"]["weights"][-1] == "third", report
        assert report["next"]["previous"] == report["after"]["current"], report
        assert report["debris"] == [], report
