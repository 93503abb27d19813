"""Training whose store is a bucket, as the commands that a user types."""

import json

import pytest
from class_folders import HEIGHT, WIDTH, write_classes
from commands import python

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow


def test_fit_evaluate_and_predict_work_on_a_bucket(server, tmp_path):
    data = write_classes(tmp_path / "data", {"row": 60, "column": 60, "diagonal": 60})
    new = write_classes(tmp_path / "new", {"row": 9, "column": 9, "diagonal": 9}, seed=1)
    environment = {"HALFTONE_CACHE": str(tmp_path / "cache")}

    def training(*arguments: object) -> str:
        done = python("-m", "training", *arguments, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    size = ("--height", HEIGHT, "--width", WIDTH, "--hidden", 32, "--pool", 1)
    options = ("--augmentation", "none", "--dropout", 0, "--epochs", 40)
    fitted = [training("fit", data, "--name", "stripes", *size, *options) for _ in range(2)]
    evaluated = json.loads(training("evaluate", "stripes", new, "--json"))
    training("predict", "stripes", new, "-o", tmp_path / "out.csv")

    assert f"{server.url}/stripes/1" in fitted[0]
    assert f"{server.url}/stripes/2" in fitted[1]
    assert evaluated["model"]["name"] == "stripes"
    assert evaluated["accuracy"] > 0.8
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + 27
    assert not list((tmp_path / "cache").rglob(".draft-*"))
