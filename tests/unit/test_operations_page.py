"""docs/operations.md and docker-compose.yml: names, files, numbers and commands exist and agree."""

import re
from copy import deepcopy

import pytest
import yaml
from commands import ROOT

from app.settings import Settings, variable

PAGE = (ROOT / "docs" / "operations.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
ALERTS = {
    rule["alert"]
    for group in yaml.safe_load((ROOT / "deploy/monitoring/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}


def test_every_alert_has_its_row_and_no_other_has():
    assert set(re.findall(r"^\| (Halftone\w+) \|", PAGE, re.MULTILINE)) == ALERTS


def test_every_alert_that_the_text_names_exists():
    assert set(re.findall(r"\bHalftone[A-Z]\w+", PAGE)) <= ALERTS


@pytest.mark.parametrize(
    "name", ["MEMORY", "BIND", "PORT", "STORE", "PROMETHEUS_PORT", "GRAFANA_PORT"]
)
def test_variables_of_docker_compose_are_its_own(name):
    assert f"`{name}`" in PAGE
    assert f"${{{name}:-" in (ROOT / "docker-compose.yml").read_text()


def test_every_setting_reaches_the_container():
    """One that is forgotten, like the file of keys, would let everybody in."""
    service = COMPOSE["services"]["app"]
    passed = {entry.partition("=")[0] for entry in service["environment"]}
    fixed = {"HALFTONE_HOST", "HALFTONE_PORT", "HALFTONE_CACHE"}  # by the image and its mounts
    ours = {name for name in passed if name.startswith("HALFTONE_")}

    assert ours == {variable(field) for field in Settings.model_fields} - fixed
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "AWS_SECRET_ACCESS_KEY"} <= passed
    assert any("HALFTONE_API_KEYS_FILE" in volume for volume in service["volumes"])


def test_training_in_compose_takes_the_store_that_serving_takes():
    app, train = COMPOSE["services"]["app"], COMPOSE["services"]["train"]

    assert train["environment"] == app["environment"]
    assert "HALFTONE_MODELS=${STORE:-/models}" in train["environment"]


def test_grace_period_covers_draining_and_finishing():
    settings = Settings()
    needed = settings.drain_seconds + settings.grace_seconds
    given = COMPOSE["services"]["app"]["stop_grace_period"]

    assert f"is {given.removesuffix('s')} s for the default of 5 + 20" in PAGE
    assert (settings.drain_seconds, settings.grace_seconds) == (5, 20)
    assert int(given.removesuffix("s")) > needed


def test_training_on_a_gpu_differs_from_training_by_device_and_packages_alone():
    plain, gpu = (deepcopy(COMPOSE["services"][name]) for name in ("train", "train-gpu"))
    packages = gpu["build"].pop("args")["TRAINING_PACKAGES"]
    (device,) = gpu.pop("deploy")["resources"]["reservations"]["devices"]

    assert (plain.pop("profiles"), gpu.pop("profiles")) == (["train"], ["gpu"])
    assert gpu == plain
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert (ROOT / "requirements" / f"{packages}.txt").is_file()
    assert "ARG TRAINING_PACKAGES=train" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
