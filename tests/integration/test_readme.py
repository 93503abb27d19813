"""Runs every command of the README, in a folder of its own, as a reader would."""

import json
import re
import shutil
import sys
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import documented_commands
import httpx
import numpy as np
import pytest
from commands import ROOT, python
from documented_commands import blocks, environment, run
from PIL import Image
from service_process import PATIENCE_S, Service, started

from app.settings import ELSEWHERE, Settings, variable

README = (ROOT / "README.md").read_text()
block = partial(documented_commands.block, "README.md")


def refused(program: str, folder: Path) -> str:
    """Run a program that ends with an error, and return what it printed."""
    done = python("-c", program, cwd=folder)
    assert done.returncode == 1
    return done.stdout


def serving(command: str, folder: Path, **variables: str) -> AbstractContextManager[Service]:
    # exec: the signal at its end must reach the service, not a shell around it.
    shell = "sh", "-c", f"exec env {command}"
    return started(shell, environment(folder) | variables, folder)


def write_images(folder: Path, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for label, rows in (("bad", slice(10, 40)), ("good", slice(70, 100))):
        (folder / label).mkdir(parents=True)
        for i in range(40):
            image = random.integers(0, 60, (120, 160), np.uint8)
            image[rows, 30:130] += random.integers(60, 150, dtype=np.uint8)
            Image.fromarray(image).save(folder / label / f"{i:02}.png")


def write_notebook_model(path: Path) -> None:
    import keras

    network = keras.Sequential(
        [
            keras.Input((24 * 32,)),
            keras.layers.Dense(16),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2),
            keras.layers.Activation("softmax"),
        ]
    )
    network.compile("adam", "categorical_crossentropy")
    network.save(path)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the reader has followed the README up to "Call it"."""
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    folder = tmp_path_factory.mktemp("reader")
    write_images(folder / "images")
    write_images(folder / "new-images", seed=1)
    for name in ("part.png", "other.png"):
        shutil.copy(folder / "images" / "bad" / "00.png", folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    write_notebook_model(folder / "model.keras")
    setup, commands = block("training check", "training fit").split("\n", maxsplit=1)
    assert setup.startswith("scripts/setup train ")  # tests/unit/test_scripts.py runs it
    run(commands, folder)
    run(block("model_store import"), folder)
    return folder


@pytest.mark.slow
def test_training_commands_leave_a_model_and_predictions(reader):
    assert (reader / "models/parts/current.json").is_file()
    assert (reader / "models/parts/1/report.html").is_file()
    assert len((reader / "predictions.csv").read_text().splitlines()) == 81
    assert (reader / "models/mine/current.json").is_file()


@pytest.mark.slow
def test_calls_are_answered(reader):
    command = block("python -m app").strip()
    with serving(command, reader, HALFTONE_PORT="0") as service:
        service.wait_until_ready()
        here = service.url.removeprefix("http://")
        for line in block("curl -F file=@part.png").strip().splitlines():
            answer = run(
                line.replace("curl", "curl -sS --fail").replace("127.0.0.1:8000", here), reader
            )
            assert answer.startswith("{"), line
        program = block("import httpx").replace("127.0.0.1:8000", here)
        done = run(f"{sys.executable} - <<'END'\n{program}\nEND", reader)
        assert done.split()[0] == "bad"
        assert float(done.split()[1]) > 0.9
        said = refused(program.replace("part.png", "model.keras"), reader)
        assert json.loads(said.splitlines()[0])["code"] == "unsupported_format"
    assert service.process.returncode == 0


@pytest.mark.slow
def test_store_commands_work(reader):
    fit = next(line for line in block("training fit").splitlines() if "training fit" in line)
    run(f". .venv/bin/activate\n{fit}", reader)
    output = run(f". .venv/bin/activate\n{block('model_store rollback')}", reader)
    assert "parts" in output
    assert '"version":1' in (reader / "models/parts/current.json").read_text()


@pytest.mark.slow
def test_demo_serves(tmp_path):
    sample = next((ROOT / "models/digits").glob("*/probe/*.png")).read_bytes()
    with serving(str(ROOT / "scripts/demo"), tmp_path, PORT="0") as service:
        service.wait_until_ready()
        answer = httpx.post(f"{service.url}/predict", content=sample, timeout=PATIENCE_S)
        assert answer.json()["model"]["name"] == "digits"
    assert service.process.returncode == 0


def test_docker_commands_are_those_that_the_docker_test_runs():
    tested = (ROOT / "tests/integration/test_docker.py").read_text()
    for line in block("docker compose up").strip().splitlines():
        assert "compose" in line
    for word in ('"up"', '"run"', "train", "fit", "/data"):
        assert word in tested, word


def test_every_block_is_run():
    known = (
        "scripts/demo",
        "training fit",
        "model_store import",
        "python -m app",
        "curl -F",
        "import httpx",
        "docker compose up",
        "model_store rollback",
        "pip install .",  # tests/integration/test_installed.py
    )
    for text in blocks("README.md"):
        assert any(word in text for word in known), text


def test_settings_and_their_defaults_are_true():
    rows = re.findall(r"^\| (`HALFTONE_[^|]*) \| ([^|]*) \|", README, re.MULTILINE)
    assert rows
    defaults = {variable(name): field.default for name, field in Settings.model_fields.items()}
    for names, values in rows:
        stated = re.findall(r"`([^`]*)`", values) or [None]
        for name, value in zip(re.findall(r"`([^`]*)`", names), stated, strict=True):
            if name not in ELSEWHERE:
                default = defaults[name]
                assert value == (None if default is None else str(default)), name
