"""docker-compose.yml: training on a GPU is training, with a GPU and the packages for it."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


def test_training_on_a_gpu_differs_by_device_and_packages_alone():
    plain, gpu = dict(SERVICES["train"]), dict(SERVICES["train-gpu"])
    packages = gpu["build"].pop("args")["TRAINING_PACKAGES"]
    (device,) = gpu.pop("deploy")["resources"]["reservations"]["devices"]

    assert (plain.pop("profiles"), gpu.pop("profiles")) == (["train"], ["gpu"])
    assert gpu == plain
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert (ROOT / "requirements" / f"{packages}.txt").is_file()
    assert "ARG TRAINING_PACKAGES=train" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
