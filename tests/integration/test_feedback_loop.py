"""From a wrong answer to a version that answers right: service, feedback, fit, service."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from class_folders import HEIGHT, WIDTH, striped, write_classes
from commands import ROOT, python
from service_process import PATIENCE_S, running

from model_store.pixels.preprocessing import encode_png
from model_store.store.store import ModelStore

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow

PICTURES = 12


def dark_columns() -> list[bytes]:
    """Columns as no training image shows them: dark on light."""
    random = np.random.default_rng(0)
    return [encode_png(255 - striped(1, random)) for _ in range(PICTURES)]


def fit(root: Path, *more: str) -> None:
    command = f"-m training fit data --name stripes --height {HEIGHT} --width {WIDTH} --hidden 32"
    command += " --pool 1 --augmentation none --dropout 0 --epochs 40"
    homes = {"HALFTONE_MODELS": "models", "HALFTONE_CACHE": "cache", "PYTHONPATH": str(ROOT)}
    done = python(*command.split(), *more, cwd=root, env=homes)
    assert done.returncode == 0, done.stderr


def test_corrected_pictures_are_answered_right_by_the_version_trained_on_them(tmp_path):
    write_classes(tmp_path / "data", {"row": 60, "column": 60, "diagonal": 60})
    fit(tmp_path)
    store = ModelStore(tmp_path / "models")
    with running(store.root, feedback=tmp_path / "feedback", poll_seconds=0.1) as service:
        service.wait_until_ready()
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
            labels = [client.post("/predict", content=p).json()["label"] for p in dark_columns()]
            assert set(labels) != {"column"}
            for picture in dark_columns():
                form = {"file": ("x.png", picture)}
                kept = client.post("/feedback", files=form, data={"label": "column"})
                assert kept.status_code == 201, kept.text
            fit(tmp_path, "--also", "feedback")
            service.wait_for_log("Serving stripes version 2")
            answers = [client.post("/predict", content=p).json() for p in dark_columns()]

    assert {answer["model"]["version"] for answer in answers} == {2}
    assert {answer["label"] for answer in answers} == {"column"}
    first, second = (store.bundle("stripes", version).manifest.dataset for version in (1, 2))
    added = {split: second.images[split] - first.images[split] for split in first.images}
    assert added == {"train": PICTURES, "val": 0, "test": 0}
