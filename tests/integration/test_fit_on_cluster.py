"""`fit --cluster local` against `fit`: the same pixels, the same choice, the same model."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from class_folders import HEIGHT, WIDTH, write_classes
from commands import ROOT, run
from ray_environment import PYTHON, SECRET, make_environment

PATIENCE_S = 1200
SIZE = ("--height", HEIGHT, "--width", WIDTH, "--hidden", 16, "--epochs", 4, "--quick")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _environment() -> None:
    make_environment()


def fit(folder: Path, images: Path, *options: object) -> str:
    environment = {
        "HALFTONE_MODELS": str(folder / "models"),
        "HALFTONE_CACHE": str(folder / "cache"),
    }
    command = (PYTHON, "-m", "training", "fit", images, "--name", "stripes", *SIZE, *options)
    done = run(*command, env=environment, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the same images were fitted here and on a cluster."""
    root = tmp_path_factory.mktemp("fitted")
    images = write_classes(root / "images", {"row": 140, "column": 130, "diagonal": 120})
    (images / "row" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    for name, options in (("here", ()), ("cluster", ("--cluster", "local"))):
        (root / f"{name}.txt").write_text(fit(root / name, images, *options))
    return root


def cached(folder: Path) -> tuple[bytes, list[Any]]:
    pixels = next((folder / "cache").glob("*/pixels.u8"))
    with closing(sqlite3.connect(pixels.with_name("index.sqlite"))) as database:
        rows = database.execute("SELECT * FROM images ORDER BY content").fetchall()
    return pixels.read_bytes(), rows


def manifest(folder: Path) -> dict[str, Any]:
    text = (folder / "models" / "stripes" / "1" / "manifest.json").read_text()
    read: dict[str, Any] = json.loads(text)
    return read


def test_nodes_leave_the_pixels_that_this_machine_would(fitted):
    pixels, rows = cached(fitted / "here")

    assert len(rows) == 391
    assert cached(fitted / "cluster") == (pixels, rows)
    assert "row/broken.png" in (fitted / "cluster.txt").read_text()


def test_trials_on_nodes_say_what_trials_here_do(fitted):
    here, cluster = (manifest(fitted / name)["training"] for name in ("here", "cluster"))

    assert len(here["selection"]["candidates"]) > 8
    assert cluster["selection"] == here["selection"]
    assert "Training on " in (fitted / "cluster.txt").read_text()


def test_the_model_is_the_same(fitted):
    here, cluster = (manifest(fitted / name) for name in ("here", "cluster"))

    assert cluster["metrics"] == here["metrics"]
    assert cluster["dataset"] == here["dataset"]
    assert here["metrics"]["accuracy"] > 0.8


def test_a_node_that_goes_while_it_reads_costs_no_image(tmp_path):
    images = write_classes(tmp_path / "images", {"row": 400, "column": 400})
    script = Path(__file__).with_name("cluster_reading.py")
    caches = tmp_path / "caches"
    environment = SECRET | {"PYTHONPATH": str(ROOT)}
    done = run(PYTHON, script, images, caches, env=environment, timeout=PATIENCE_S)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])  # Ray tells of the node before
    assert (told["same"], told["all"]) == (True, 800)
    assert told["before"][0] < 800
    assert len({pixels.read_bytes() for pixels in caches.glob("*/*/pixels.u8")}) == 1
