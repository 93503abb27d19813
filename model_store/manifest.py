"""What a bundle says of itself in its `manifest.json`, which `manifest_file` reads and writes."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_store.errors import InvalidName
from model_store.spec import ImageSpec

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.keras"
REPORT_FILE = "report.html"
SCHEMA_VERSION: Literal[2] = 2

EngineName = Literal["keras", "openvino-int8", "openvino-bf16", "openvino-f32"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Histogram = Annotated[tuple[Share, ...], Field(strict=False, min_length=16, max_length=16)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BundlePath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)?$")
]

_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$")


def check_name(name: str) -> str:
    """Return `name` if it can name a model.

    Raises:
        InvalidName: not 1 to 64 of a-z, 0-9, - and _, beginning and ending with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName(
            "Expected a model name of 1 to 64 characters from a-z, 0-9, '-' and '_', beginning and "
            f"ending with a letter or digit. Received: {name!r}"
        )
    return name


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Layer(_Record):
    """One layer of the network, as a reader of `model.summary()` would name it."""

    name: str
    kind: str
    output_shape: tuple[int | None, ...] = Field(strict=False)
    parameters: int = Field(ge=0)


class Candidate(_Record):
    """One set of settings that was tried, and how well held-out images were told apart with it."""

    stage: str = Field(description="Candidates of one stage saw the same images.")
    pool: int = Field(ge=1)
    augmentation: str
    steps: int = Field(ge=1)
    trials: int = Field(ge=1, description="Trainings, each with other images held out.")
    images: int = Field(ge=1, description="Held-out images, over all trials.")
    loss: Finite = Field(description="Mean cross-entropy of the held-out images, in nats.")
    loss_error: Finite = Field(ge=0, description="Standard error of `loss`.")
    accuracy: Share


class Selection(_Record):
    """How resolution and augmentation were chosen."""

    pool: int = Field(ge=1)
    augmentation: str
    reason: str
    candidates: tuple[Candidate, ...] = Field(strict=False, description="In the order tried.")


class TrainingSettings(_Record):
    """What `fit` was told or chose; together with the data set it reproduces the run."""

    pool: int = Field(1, ge=1, description="The network sees means over pool x pool pixels.")
    selection: Selection | None = None
    hidden: tuple[int, ...] = Field(strict=False)
    dropout: Share
    augmentation: str
    epochs: int = Field(ge=0, description="Epochs that were run.")
    best_epoch: int = Field(ge=0, description="The epoch, from 1, whose weights were published.")
    batch_size: int = Field(ge=1)
    learning_rate: Finite
    weight_decay: Finite
    seed: int
    ended: str = Field("", description="Why training ended when it did.")
    seconds: Finite = Field(ge=0, description="Wall time of training alone.")


class Calibration(_Record):
    """Temperature scaling (Guo et al. 2017), fitted on validation, folded into the last layer."""

    temperature: float = Field(gt=0, allow_inf_nan=False)
    ece_before: Share = Field(description="On the test split, 15 equal-width bins.")
    ece_after: Share


class ClassMetrics(_Record):
    """One label's row of the classification report."""

    label: str
    precision: Share
    recall: Share
    f1: Share
    support: int = Field(ge=0, description="Images of this label.")


class Metrics(_Record):
    """Measured once, on images that training and validation never saw."""

    split: str
    images: int = Field(ge=1)
    accuracy: Share
    balanced_accuracy: Share = Field(description="Mean recall over the labels that occur.")
    majority_share: Share = Field(description="Accuracy of always naming the commonest label.")
    loss: Finite = Field(description="Mean cross-entropy, in nats.")
    ece: Share = Field(description="Expected calibration error, 15 equal-width bins.")
    per_class: tuple[ClassMetrics, ...] = Field(strict=False)
    confusion: tuple[tuple[int, ...], ...] = Field(
        strict=False, description="Rows: true label; columns: predicted; in label order."
    )


class Baseline(_Record):
    """What much simpler models reach on the same test images."""

    name: str
    accuracy: Share
    loss: Finite
    p_value: Share = Field(description="That the model is as often right; McNemar's exact test.")


class Comparison(_Record):
    """Two versions on the same images, which neither was trained on as far as is known."""

    version: int = Field(ge=1, description="The version it is compared with.")
    images: int = Field(ge=0)
    accuracy: Share | None = Field(description="Of this version; null where there is no image.")
    other_accuracy: Share | None
    only_right: int = Field(ge=0, description="Images that only this version gets right.")
    only_other_right: int = Field(ge=0)
    p_value: Share = Field(description="McNemar's exact test, two-sided.")
    verdict: Literal["better", "worse", "no significant difference"]


class DatasetRecord(_Record):
    """Which images the model comes from, without holding any of them."""

    fingerprint: Sha256 = Field(description="Over the sorted (split, label, pixels) of all images.")
    images: dict[str, int] = Field(description="Images per split.")
    unreadable: int = Field(ge=0)


class Usual(_Record):
    """Where the training images lie, to notice one that is far from them: see `pixels.novelty`."""

    means: tuple[Finite, ...] = Field(strict=False, min_length=1, description="Grey, per cell.")
    deviations: tuple[Finite, ...] = Field(strict=False, description="Of the same, in grey levels.")
    threshold: Finite = Field(
        description="At most 1 in 100 images of training or validation is farther."
    )


class Reference(_Record):
    """Pixel statistics of the training images, to notice when incoming ones differ."""

    pixel_histogram: Histogram = Field(description="16 equal bins of 0-255; sums to 1.")
    image_mean_histogram: Histogram = Field(description="The same over each image's mean.")
    usual: Usual | None = None


class Parity(_Record):
    """How far an engine is from the float32 Keras model, over `images` images."""

    images: int = Field(ge=1)
    top1_agreement: Share
    mean_abs_dp: Share
    max_abs_dp: Share


class EngineRecord(_Record):
    """One way to run the model, with what was measured when it was exported."""

    file: BundlePath
    parity: Parity | None = Field(description="Null for the source of truth itself.")
    latency_ms: dict[str, Finite] = Field(description="Median per batch size: '1', '8', '32'.")
    max_batch: int = Field(ge=1, description="The batch size worth forming; more gains nothing.")
    pool: int = Field(1, ge=1, description="It takes means over pool x pool pixels; 1: pixels.")
    probe_tolerance: Share = Field(description="Largest |Δp| from the probes' probabilities.")


class Probe(_Record):
    """A golden image: replayed through the real preprocessing and engine before serving."""

    file: BundlePath
    pixels_sha256: Sha256
    probabilities: tuple[Share, ...] = Field(strict=False)
    drawn: bool = Field(True, description="No image of the user's; bundles of before do not say.")


class FileRecord(_Record):
    """Size and hash of one file of the bundle."""

    size: int = Field(ge=0, description="Bytes.")
    sha256: Sha256


class BundleContents(_Record):
    """What the maker of a bundle says of it; the store adds identity and hashes."""

    labels: tuple[str, ...] = Field(strict=False, min_length=2, description="In output order.")
    image: ImageSpec
    layers: tuple[Layer, ...] = Field(strict=False)
    training: TrainingSettings | None = Field(description="Null for an imported model.")
    calibration: Calibration | None
    metrics: Metrics | None
    dataset: DatasetRecord | None
    reference: Reference | None
    baselines: tuple[Baseline, ...] = Field((), strict=False)
    comparison: Comparison | None = None
    engines: dict[EngineName, EngineRecord] = Field(min_length=1)
    default_engine: EngineName
    probes: tuple[Probe, ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _agrees_with_labels(self) -> "BundleContents":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels repeat: {self.labels}")
        if self.default_engine not in self.engines:
            raise ValueError(f"default_engine {self.default_engine!r} is not in engines")
        for probe in self.probes:
            if len(probe.probabilities) != len(self.labels):
                raise ValueError(f"{probe.file}: expected {len(self.labels)} probabilities")
        return self


class Manifest(BundleContents):
    """Everything a bundle says of its model. Written last; a bundle without it does not exist."""

    schema_version: Literal[1, 2]  # 1: before networks on block means
    name: str
    version: int = Field(ge=1)
    created_at: datetime = Field(strict=False)
    libraries: dict[str, str] = Field(description="Library → version that made the bundle.")
    files: dict[BundlePath, FileRecord] = Field(description="Every file but the manifest.")

    @model_validator(mode="after")
    def _lists_its_files(self) -> "Manifest":
        check_name(self.name)
        named = [record.file for record in self.engines.values()] + [p.file for p in self.probes]
        if missing := sorted(set(named) - set(self.files)):
            raise ValueError(f"not in files: {', '.join(missing)}")
        return self
