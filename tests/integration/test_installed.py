"""The wheel in an environment that holds nothing but what serving needs."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import commands
import httpx
import pytest
from commands import ROOT
from service_process import PATIENCE_S, elsewhere, started

README = (ROOT / "README.md").read_text()

pytestmark = pytest.mark.slow  # it installs hundreds of megabytes


def variables() -> dict[str, str]:
    """The environment of somebody who has no checkout."""
    return {key: value for key, value in elsewhere().items() if key != "PYTHONPATH"}


def run(*command: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = commands.run(*command, cwd=cwd, whole_env=variables(), timeout=900)
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment `venv` and the shipped model, far from any checkout."""
    folder = tmp_path_factory.mktemp("home")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    pip = (folder / "venv/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "-q")
    locked = ("--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements/serve.txt")
    run(*pip, *locked, cwd=folder)
    run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    shutil.copytree(ROOT / "models/digits", folder / "models/digits")
    return folder


def halftone(home: Path, *arguments: object, code: int = 0) -> str:
    done = run(home / "venv/bin/halftone", *arguments, cwd=home, code=code)
    return done.stdout + done.stderr


def test_the_wheel_puts_one_package_beside_those_of_others(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.partition("/")[0] for name in names} == {
        "halftone", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    }  # fmt: skip
    files = {name.removeprefix("halftone/") for name in names}
    for room in ("app", "model_store", "training"):
        there = {
            str(path.relative_to(ROOT))
            for path in (ROOT / room).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert there
        assert there <= files


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_answers_there_without_tensorflow(home, workers):
    (command,) = re.findall(r"\npip install \.\n(halftone serve .*)\n", README)
    sample = next((home / "models/digits").glob("*/probe/*.png"))
    program, *options = command.replace("9000", "0").split()
    environment = variables() | {"HALFTONE_WORKERS": workers}
    with started([home / "venv/bin" / program, *options], environment, home) as service:
        service.wait_until_ready()
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
            answer = client.post("/predict", content=sample.read_bytes()).json()
            page = client.get("/")

    assert service.process.returncode == 0
    assert answer["model"]["name"] == "digits"
    assert page.status_code == 200
    assert not list((home / "venv").glob("lib/python3*/site-packages/tensorflow"))


def test_commands_call_themselves_as_they_are_called_there(home):
    assert "halftone fit images" in halftone(home, "fit", "--help")
    assert "usage: halftone serve" in halftone(home, "serve", "--help")
    assert json.loads(halftone(home, "list", "--json"))[0]["name"] == "digits"
    assert "sound" in halftone(home, "verify", "digits")


def test_training_there_says_what_it_needs(home):
    said = halftone(home, "fit", "images", "--name", "x", code=1)

    assert said.startswith("error: ")
    assert 'pip install ".[training]"' in said
    assert len(said.splitlines()) == 1
