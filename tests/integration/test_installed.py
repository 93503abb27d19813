"""The wheel in an environment that holds nothing but what serving needs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
READY_SECONDS = 120

pytestmark = pytest.mark.slow  # it installs hundreds of megabytes


def variables() -> dict[str, str]:
    """The environment of somebody who has no checkout."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("HALFTONE_") and key != "PYTHONPATH"
    }


def run(*command: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd, env=variables(), capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
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


@contextmanager
def served(home: Path, *command: str, **settings: str) -> Iterator[httpx.Client]:
    """The service on a free port, by the line that it logs."""
    log = home / "service.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [home / "venv/bin" / command[0], *command[1:]],
            cwd=home, env=variables() | settings, stderr=output, stdout=output,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=address(log, process), timeout=30) as client:
            wait_until_ready(client)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_SECONDS)
    assert process.returncode == 0


def address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.2)
    pytest.fail(f"exit code {process.poll()}: {log.read_text()}")


def wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:  # with several workers, nobody listens yet when the address is logged
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail("not ready")


def test_the_wheel_puts_one_package_beside_those_of_others(wheel: Path) -> None:
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
def test_the_service_answers_there_without_tensorflow(home: Path, workers: str) -> None:
    (command,) = re.findall(r"\npip install \.\n(halftone serve .*)\n", README)
    sample = next((home / "models/digits").glob("*/probe/*.png"))
    any_port = command.replace("9000", "0").split()
    with served(home, *any_port, HALFTONE_WORKERS=workers) as client:
        answer = client.post("/predict", content=sample.read_bytes()).json()
        page = client.get("/")

    assert answer["model"]["name"] == "digits"
    assert page.status_code == 200
    assert not list((home / "venv").glob("lib/python3*/site-packages/tensorflow"))


def test_commands_call_themselves_as_they_are_called_there(home: Path) -> None:
    assert "halftone fit images" in halftone(home, "fit", "--help")
    assert "usage: halftone serve" in halftone(home, "serve", "--help")
    assert json.loads(halftone(home, "list", "--json"))[0]["name"] == "digits"
    assert "sound" in halftone(home, "verify", "digits")


def test_training_there_says_what_it_needs(home: Path) -> None:
    said = halftone(home, "fit", "images", "--name", "x", code=1)

    assert said.startswith("error: ")
    assert 'pip install ".[training]"' in said
    assert len(said.splitlines()) == 1
