"""Scoring on a Ray cluster: what is killed there loses nothing, and answers are the local ones."""

import csv
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import obstore
import pytest
from commands import ROOT, run
from patience import PATIENCE_S, until
from PIL import Image
from ray_environment import PYTHON, SECRET, make_environment

GOOD, BROKEN = 2000, 5
ROWS = "import json, pyarrow.dataset as d, sys; t = d.dataset(sys.argv[1]).to_table()"

pytestmark = pytest.mark.slow


@dataclass
class Nodes:
    """A cluster of two nodes that compute, in a process of its own."""

    process: subprocess.Popen[str]
    address: str

    def kill(self, what: str) -> None:
        """Kill an actor that scores, or its node."""
        self.process.stdin.write(f"kill {what}\n")
        self.process.stdin.flush()
        assert int(self.process.stdout.readline()) > 0


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    make_environment()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRET.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    process = subprocess.Popen(
        [PYTHON, Path(__file__).with_name("ray_nodes.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    address = process.stdout.readline().strip()
    assert address, process.wait(PATIENCE_S)
    yield Nodes(process, address)
    process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored") / "images"
    write(folder, GOOD)
    for number in range(BROKEN):
        (folder / f"{number}" / f"broken {number}.png").write_bytes(b"\x89PNG broken"[: 3 * number])
    return folder


@pytest.fixture(scope="module")
def expected(images: Path) -> dict[str, dict[str, str]]:
    """The rows of the local path, by path."""
    return local_rows(images)


def local_rows(images: Path) -> dict[str, dict[str, str]]:
    output = images.parent / "local.csv"
    done = predict(images, output)
    assert done.returncode == 0, done.stderr
    with output.open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def write(folder: Path, count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
    for number, picture in enumerate(pixels):
        file = folder / str(number % 9) / f"é #{number} 100%.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)


def command(source: object, target: object, *more: str) -> list[str]:
    words = (PYTHON, "-m", "training", "predict", "digits", source, "-o", target, *more)
    return list(map(str, words))


def predict(source: object, target: object, *more: str) -> subprocess.CompletedProcess[str]:
    return run(*command(source, target, *more), timeout=PATIENCE_S)


def start(source: Path, target: Path, nodes: Nodes) -> subprocess.Popen[str]:
    """Start a driver, and wait until a part is written and others are not."""
    driver = subprocess.Popen(
        command(source, target, "--cluster", nodes.address),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: parts(target) or driver.poll() is not None, every_s=0.01)
    assert driver.poll() is None, driver.communicate()
    return driver


def parts(target: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in target.glob("*.parquet")}


def finish(driver: subprocess.Popen[str]) -> str:
    _, said = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, said
    return said


def assert_equal(target: Path, expected: dict[str, dict[str, str]]) -> None:
    """Compare every row, as text, in which a float32 has as many digits as tell it from others."""
    done = run(PYTHON, "-c", f"{ROWS}; print(json.dumps(t.to_pylist()))", target)
    rows = [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in json.loads(done.stdout)
    ]

    assert len(rows) == len(expected)
    assert {row["path"]: row for row in rows} == expected


def test_a_killed_actor_loses_nothing(nodes, images, expected, tmp_path):
    driver = start(images, tmp_path / "out", nodes)
    nodes.kill("actor")
    early = len(parts(tmp_path / "out"))
    said = finish(driver)

    assert early < len(parts(tmp_path / "out"))
    assert f"{BROKEN} images could not be read" in said
    assert len(expected) == GOOD + BROKEN
    assert_equal(tmp_path / "out", expected)


def test_a_killed_driver_goes_on_where_it_was(nodes, images, expected, tmp_path):
    driver = start(images, tmp_path / "out", nodes)
    driver.kill()
    driver.communicate()
    before = parts(tmp_path / "out")
    again = predict(images, tmp_path / "out", "--cluster", nodes.address)

    assert again.returncode == 0, again.stderr
    scored = re.search(r"(\d+) of 2005 images were scored before", again.stderr)
    assert scored
    assert 0 < int(scored[1]) < GOOD
    assert before.items() <= parts(tmp_path / "out").items()
    assert_equal(tmp_path / "out", expected)


def test_a_node_that_goes_loses_nothing(nodes, images, expected, tmp_path):
    driver = start(images, tmp_path / "out", nodes)
    nodes.kill("node")
    early = len(parts(tmp_path / "out"))
    finish(driver)

    assert early < len(parts(tmp_path / "out"))
    assert_equal(tmp_path / "out", expected)


def test_from_a_bucket_into_a_bucket_on_a_cluster_of_its_own(server, tmp_path, monkeypatch):
    monkeypatch.delenv("HALFTONE_MODELS")  # the shipped model answers
    images = tmp_path / "images"
    write(images, 150)
    (images / "empty.png").write_bytes(b"")
    bucket = server.client()
    for file in images.rglob("*.png"):
        obstore.put(bucket, f"new/{file.relative_to(images).as_posix()}", file)
    obstore.put(bucket, "new/.DS_Store", b"x")
    done = predict("s3://models/new", "s3://models/answers/1", "--cluster", "local")
    (tmp_path / "out").mkdir()
    for batch in obstore.list(bucket, "answers/1"):
        for listed in batch:
            file = tmp_path / "out" / Path(listed["path"]).name
            file.write_bytes(bytes(obstore.get(bucket, listed["path"]).bytes()))
    again = predict("s3://models/new", "s3://models/answers/1", "--cluster", "local")

    assert done.returncode == 0, done.stderr
    assert_equal(tmp_path / "out", local_rows(images))
    assert "151 of 151 images were scored before" in again.stderr
    assert server.environment()["AWS_SECRET_ACCESS_KEY"] not in done.stderr
