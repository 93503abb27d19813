"""docs/scaling.md and deploy/swarm.yml: what they say of figures, settings and files is true."""

import re

import pytest
import yaml
from commands import ROOT

from app.settings import ELSEWHERE, Settings, variable

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
SWARM_TEXT = (ROOT / "deploy" / "swarm.yml").read_text(encoding="utf-8")
SWARM = yaml.safe_load(SWARM_TEXT)
BALANCER = (ROOT / "deploy" / "swarm" / "haproxy.cfg").read_text(encoding="utf-8")
APP = SWARM["services"]["app"]


def swarm_setting(name: str) -> str:
    values: dict[str, str] = dict(entry.partition("=")[::2] for entry in APP["environment"])
    return values[name]


def test_figures_of_one_machine_are_those_of_the_benchmarks():
    benchmarks = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ × \d+, files .*$", PAGE, re.MULTILINE)
    figures = [cell.split()[0] for row in rows for cell in row.split("|")[2:-1]]

    assert len(rows) == 2
    assert [figure for figure in figures if f"| {figure} |" not in benchmarks] == []
    assert "| 2 × | 364 | 114 | 0.601 |" in benchmarks  # the 60 % of the text


def test_every_setting_of_the_swarm_is_one_of_the_service():
    named = {entry.partition("=")[0] for entry in APP["environment"]}
    settings = {name for name in named if not name.startswith("AWS_")}

    assert settings <= {variable(field) for field in Settings.model_fields} | ELSEWHERE


def test_swarm_waits_for_draining_and_finishing_and_the_proxy_notices_meanwhile():
    drain_s = float(swarm_setting("HALFTONE_DRAIN_SECONDS"))
    grace_s = float(swarm_setting("HALFTONE_GRACE_SECONDS"))
    check = re.search(r"check inter (\d+)ms fall (\d+)", BALANCER)

    assert int(APP["stop_grace_period"].removesuffix("s")) > drain_s + grace_s
    assert check
    assert 2 * int(check[1]) * int(check[2]) / 1000 < drain_s


def test_variables_of_the_stack_that_the_page_names_are_its_own():
    swarm = PAGE.partition("### Docker Swarm")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", swarm)) - {"AWS_ACCESS_KEY_ID"}

    assert {"MODELS_FOLDER", "REPLICAS", "CPUS", "MEMORY", "PORT"} <= named
    assert [name for name in named if f"${{{name}:-" not in SWARM_TEXT] == []


@pytest.mark.parametrize("name", ["app", "proxy"])
def test_containers_of_the_swarm_have_no_rights_and_limits(name):
    service = SWARM["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "memory" in service["deploy"]["resources"]["limits"]


def test_longest_request_that_is_sent_again_is_the_one_of_the_page():
    found = re.search(r"tune\.bufsize (\d+)", BALANCER)

    assert found
    headers = 8 * 1024
    assert f"no longer than {(int(found[1]) - headers) // 1024} kB" in PAGE
