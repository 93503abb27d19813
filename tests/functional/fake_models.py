"""Models and a store without files or weights, so that the service can be tested as a whole."""

import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
from numpy.typing import NDArray
from patience import PATIENCE_S
from pictures import encoded
from PIL import Image

from model_store.errors import ModelStoreError, VersionNotFound
from model_store.manifest import EngineRecord, FileRecord, Manifest, Probe, Reference
from model_store.pixels.novelty import cell_means, describe_usual
from model_store.spec import ImageSpec
from model_store.store.current import CurrentVersion, Pointers

DIGEST = "0" * 64
LABELS = ("left", "right", "up")
HEIGHT, WIDTH = 12, 8

# Starts the service with some settings; the fixture `start`.
Start = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


def manifest(name: str, version: int, labels: tuple[str, ...] = LABELS) -> Manifest:
    return Manifest(
        schema_version=1,
        name=name,
        version=version,
        created_at=datetime(2025, 1, 1, tzinfo=UTC),
        libraries={"numpy": np.__version__},
        labels=labels,
        image=ImageSpec.for_size(HEIGHT, WIDTH),
        layers=(),
        training=None,
        calibration=None,
        metrics=None,
        dataset=None,
        reference=None,
        engines={
            "keras": EngineRecord(
                file="model.keras", parity=None, latency_ms={}, max_batch=8, probe_tolerance=0.01
            )
        },
        default_engine="keras",
        probes=(
            Probe(
                file="probe/0.png",
                pixels_sha256=DIGEST,
                probabilities=(1.0, *[0.0] * (len(labels) - 1)),
            ),
        ),
        files={
            "model.keras": FileRecord(size=1, sha256=DIGEST),
            "probe/0.png": FileRecord(size=1, sha256=DIGEST),
        },
    )


def softmax_of_corners(images: NDArray[np.uint8], labels: int) -> NDArray[np.float32]:
    """(N, H, W) → (N, labels): decided by the first pixels of each row, so every image counts."""
    logits = images.reshape(len(images), -1)[:, :labels].astype(np.float32) / 64
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class FakeModel:
    """Answers by `softmax_of_corners`; can be held, made to fail or to give NaN."""

    def __init__(self, name: str = "toy", version: int = 1) -> None:
        self.name = name
        self.version = version
        self.labels = LABELS
        self.manifest = manifest(name, version)
        self.spec = self.manifest.image
        self.engine_name = "keras"
        self.warnings = ()
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.answers_nan = False
        self.closed = threading.Event()
        self.files: dict[str, bytes] = {}

    def keep(self, *examples: bytes, report: bytes | None = None) -> None:
        """Put images of the user's and a report into the bundle."""
        for number, image in enumerate(examples):
            self.files[f"probe/{10 + number}.png"] = image
        probes = [
            Probe(file=path, pixels_sha256=DIGEST, probabilities=(1.0, 0.0, 0.0), drawn=False)
            for path in self.files
        ]
        if report is not None:
            self.files["report.html"] = report
        record = FileRecord(size=1, sha256=DIGEST)
        self.manifest = self.manifest.model_copy(
            update={
                "probes": (*self.manifest.probes, *probes),
                "files": self.manifest.files | dict.fromkeys(self.files, record),
            }
        )

    def read_file(self, path: str) -> bytes:
        return self.files[path]

    def learn_from(self, images: list[NDArray[np.uint8]]) -> None:
        """Take some (H, W) images for those of its training."""
        flat = [1 / 16] * 16
        cells = [cell_means(image) for image in images]
        reference = Reference(
            pixel_histogram=tuple(flat),
            image_mean_histogram=tuple(flat),
            usual=describe_usual(cells, cells),
        )
        self.manifest = self.manifest.model_copy(update={"reference": reference})

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return images.reshape(len(images), -1)  # as engines do that take something of their own

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        self.go.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        answers = softmax_of_corners(images, len(self.labels))
        return answers * np.nan if self.answers_nan else answers

    def close(self) -> None:
        self.closed.set()


@dataclass
class FakeStore:
    """Names → versions → models, and what is current."""

    models: dict[str, dict[int, FakeModel]] = field(default_factory=dict)
    currents: dict[str, CurrentVersion] = field(default_factory=dict)
    broken: dict[tuple[str, int], ModelStoreError] = field(default_factory=dict)
    clock: datetime = datetime(2025, 1, 1, tzinfo=UTC)

    def publish(self, name: str = "toy", version: int = 1) -> FakeModel:
        model = FakeModel(name, version)
        self.models.setdefault(name, {})[version] = model
        self.promote(name, version)
        return model

    def promote(self, name: str, version: int) -> None:
        self.clock += timedelta(seconds=1)
        self.currents[name] = CurrentVersion(version=version, previous=None, promoted_at=self.clock)

    def names(self) -> list[str]:
        return sorted(self.models)

    def versions(self, name: str) -> list[int]:
        return sorted(self.models.get(name, {}))

    def pointers(self) -> Pointers:
        return Pointers(dict(self.currents))

    def open(self, name: str, version: int) -> FakeModel:
        if (name, version) in self.broken:
            raise self.broken[name, version]
        if version not in self.models.get(name, {}):
            raise VersionNotFound(f"no version {version}")
        return self.models[name][version]


def png(pixels: NDArray[np.uint8] | None = None, *, seed: int = 0) -> bytes:
    """A PNG of the toy model's size, of random pixels unless they are given."""
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    return encoded(Image.fromarray(pixels))
