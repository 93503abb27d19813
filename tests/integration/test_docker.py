"""Builds both images and uses them as a newcomer would: train, serve, ask, stop, start again."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from commands import ROOT, run
from patience import until
from service_process import free_port, is_ready

from model_store.pixels.preprocessing import encode_png

CHECKOUT = (
    "Dockerfile",
    ".dockerignore",
    "docker-compose.yml",
    "requirements",
    "app",
    "model_store",
    "training",
)
FIRST_USER = 1000

pytestmark = pytest.mark.slow


def answers(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def compose_command() -> list[str]:
    if not answers("docker", "info"):
        pytest.skip("no Docker engine answers")
    if answers("docker", "compose", "version"):
        return ["docker", "compose"]
    if answers("docker-compose", "version"):
        return ["docker-compose"]
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


def owner_of_files() -> int:
    """Root's files are made the container user's: the containers never run as root."""
    return os.getuid() or FIRST_USER


@dataclass(frozen=True)
class Compose:
    """`docker compose` in a copy of the checkout, under a project name of its own."""

    command: list[str]
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments: str, **environment: str) -> str:
        owner = f"{owner_of_files()}:{owner_of_files()}"
        return docker(
            *(*self.command[1:], "-p", "halftone-test", *arguments),
            program=self.command[0],
            cwd=self.folder,
            env={"PORT": str(self.port), "RUN_AS": owner} | environment,
        )

    def container(self) -> str:
        return self.run("ps", "-q", "app")

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return run("docker", "exec", self.container(), *command, timeout=120)

    def wait_until_ready(self) -> None:
        until(lambda: is_ready(self.url), lambda: self.run("logs", "app")[-6000:], every_s=0.2)


def docker(*arguments: str, program: str = "docker", **options: Any) -> str:
    """Return what a command of the engine prints."""
    done = run(program, *arguments, **{"stdin": subprocess.DEVNULL, "timeout": 2400} | options)
    output = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, f"{' '.join(arguments)}:\n{output}"
    return done.stdout.strip()


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    known: dict[str, Any] = json.loads(docker("inspect", container))[0]
    return known


def bright_half(side: str, seed: int) -> bytes:
    """A 24 by 24 PNG of noise whose left or right half is brighter."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 120, (24, 24), dtype=np.uint8)
    half = slice(0, 12) if side == "left" else slice(12, 24)
    pixels[:, half] += 120
    return encode_png(pixels)


def write_images(folder: Path, count: int) -> None:
    for label, offset in (("left", 0), ("right", 10_000)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            path = folder / label / f"{number:03d}.png"
            path.write_bytes(bright_half(label, offset + number))


def copy_checkout(target: Path) -> None:
    target.mkdir()
    for name in CHECKOUT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    command = compose_command()
    folder = tmp_path_factory.mktemp("docker") / "checkout"
    copy_checkout(folder)
    write_images(folder / "images", count=60)
    (folder / "models").mkdir()
    if os.getuid() == 0:
        os.chown(folder / "models", FIRST_USER, FIRST_USER)
    project = Compose(command, folder, free_port())
    try:
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "40")


@pytest.fixture(scope="module")
def trained(compose: Compose) -> str:
    """Train in the container; return what it printed."""
    compose.run("build", "train")
    return compose.run(
        *("run", "--rm", "-T", "-v", f"{compose.folder / 'images'}:/data:ro", "train"),
        *("fit", "/data", "--name", "halves", "--height", "16", "--width", "16"),
        *("--hidden", "16", "--hidden", "16", "--augmentation", "none", "--epochs", "8"),
    )


@pytest.fixture(scope="module")
def served(compose: Compose, trained: str) -> Compose:
    assert trained
    compose.run("build", "app")
    compose.run("up", "-d")
    compose.wait_until_ready()
    return compose


def ask(compose: Compose, side: str) -> dict[str, Any]:
    response = httpx.post(
        f"{compose.url}/predict",
        files={"file": ("x.png", bright_half(side, 99_999), "image/png")},
        timeout=30,
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_training_container_publishes_into_the_mounted_store(compose, trained):
    bundle = compose.folder / "models" / "halves" / "1"
    current = json.loads((bundle.parent / "current.json").read_text())

    assert "published halves version 1" in trained
    assert current["version"] == 1
    assert json.loads((bundle / "manifest.json").read_text())["labels"] == ["left", "right"]
    assert (bundle / "manifest.json").stat().st_uid == owner_of_files()


def test_service_container_answers_what_the_image_shows(served):
    left, right = ask(served, "left"), ask(served, "right")

    assert left["model"] == {"name": "halves", "version": 1}
    assert (left["label"], right["label"]) == ("left", "right")
    assert sum(row["probability"] for row in left["predictions"]) == pytest.approx(1)


def test_engine_calls_the_container_healthy(served):
    until(lambda: inspect(served.container())["State"]["Health"]["Status"] == "healthy", every_s=1)


def test_service_container_has_no_privileges_and_nothing_to_write(served):
    status = served.execute("cat", "/proc/1/status").stdout
    rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert "0" not in rows["Uid"].split()
    assert int(rows["CapEff"], 16) == int(rows["CapBnd"], 16) == 0
    assert rows["NoNewPrivs"] == "1"
    for path in ("/srv/x", "/models/x", "/opt/venv/x"):
        assert served.execute("touch", path).returncode != 0, path
    assert served.execute("touch", "/tmp/x").returncode == 0  # noqa: S108  # the container's tmpfs


def test_limits_of_the_container_are_set(served):
    host = inspect(served.container())["HostConfig"]

    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["ReadonlyRootfs"] is True
    assert "size=" in host["Tmpfs"]["/tmp"]  # noqa: S108  # the container's tmpfs


@pytest.mark.parametrize("library", ["tensorflow", "keras", "training", "pip"])
def test_serving_image_lacks(served, library):
    done = served.execute("/opt/venv/bin/python", "-I", "-c", f"import {library}")

    assert "ModuleNotFoundError" in done.stderr


def test_stopped_service_ends_cleanly_and_starts_again_in_seconds(served):
    container = served.container()
    served.run("stop")
    exit_code = inspect(container)["State"]["ExitCode"]
    served.run("start")
    started_at = time.monotonic()
    served.wait_until_ready()

    assert exit_code == 0
    assert time.monotonic() - started_at < 30
    assert ask(served, "right")["label"] == "right"


def test_keys_that_the_shell_names_are_asked_for(served):
    keys = served.folder / "keys"
    keys.write_text(hashlib.sha256(b"alpha").hexdigest())
    served.run("up", "-d", HALFTONE_API_KEYS_FILE=str(keys))
    served.wait_until_ready()
    closed = httpx.get(f"{served.url}/models", timeout=30)
    opened = httpx.get(f"{served.url}/models", headers={"x-api-key": "alpha"}, timeout=30)
    served.run("up", "-d")
    served.wait_until_ready()

    assert (closed.status_code, opened.status_code) == (401, 200)
    assert ask(served, "left")["label"] == "left"


def test_image_built_with_the_tracing_packages_can_send_spans(served):
    served.run("build", "--build-arg", "PACKAGES=tracing", "app")
    command = (
        "--entrypoint",
        "python",
        "app",
        "-c",
        "import app.observability.spans; print('imported')",
    )

    assert "imported" in served.run("run", "--rm", "-T", *command)
