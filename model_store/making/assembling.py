"""From a Keras model in memory to the contents of a bundle: weights, engines, probes."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.engines.keras import check_signature, check_weights, runtime, wrap
from model_store.engines.keras_archive import CONFIG_MEMBER, METADATA_MEMBER, WEIGHTS_MEMBER
from model_store.errors import EngineUnavailable, IncompatibleModel
from model_store.making.answers import TOLERANCE_FLOOR, Answers, answer
from model_store.making.probes import describe_probes, write_probes
from model_store.manifest import (
    MODEL_FILE,
    BundleContents,
    EngineName,
    EngineRecord,
    Layer,
    Probe,
)
from model_store.spec import ImageSpec

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Assembled:
    """The part of `BundleContents` that follows from the model itself."""

    layers: tuple[Layer, ...]
    engines: dict[EngineName, EngineRecord]
    default_engine: EngineName
    probes: tuple[Probe, ...]

    def untrained(self, labels: tuple[str, ...], image: ImageSpec) -> BundleContents:
        """Return the contents of a bundle whose training nothing is known of."""
        return BundleContents(
            labels=labels,
            image=image,
            layers=self.layers,
            training=None,
            calibration=None,
            metrics=None,
            dataset=None,
            reference=None,
            engines=self.engines,
            default_engine=self.default_engine,
            probes=self.probes,
        )


def assemble(
    folder: Path,
    model: Any,
    spec: ImageSpec,
    labels: Sequence[str],
    images: NDArray[np.uint8],
    probe_files: Sequence[bytes],
) -> Assembled:
    """Write model, engines and probes into a draft's folder.

    Args:
        folder: of the draft; it may hold other files already.
        model: a Keras model, uint8 (None, H, W) in, softmax probabilities out.
        spec: what its images look like.
        labels: in output order.
        images: (N, H, W) uint8, N >= 1, on which exported engines are compared with the model.
        probe_files: encoded images of the user's to keep as probes; may be empty, as some are
            always drawn.

    Raises:
        IncompatibleModel: model and labels or spec do not fit, or it gives no probabilities.
        ImageError: a probe file is no image.
    """
    check_signature(model, spec, tuple(labels))
    check_weights(model)
    save_model(model, folder / MODEL_FILE)
    engine = wrap(model, spec)
    paths, pixels = write_probes(folder, spec, probe_files)
    probes = answer(engine.predict, pixels)
    check_probabilities(probes.probabilities)
    engines, default = _export(model, folder, answer(engine.predict, images), probes)
    engine.close()
    return Assembled(
        layers=describe_layers(model),
        engines=engines,
        default_engine=default,
        probes=describe_probes(paths, pixels, probes.probabilities, len(probe_files)),
    )


def save_model(model: Any, path: Path) -> None:
    """Write a `.keras` file without optimizer state, and without a copy of it in memory.

    `model.save` builds the whole archive in memory; at 944 MB of weights that is two more copies.
    """
    keras = runtime()[0]
    weights = path.with_name(f"weights.{WEIGHTS_MEMBER.partition('.')[2]}")
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    metadata = {
        "keras_version": keras.__version__,
        "date_saved": f"{datetime.now(UTC):%Y-%m-%d@%H:%M:%S}",
    }
    try:
        model.save_weights(weights)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(METADATA_MEMBER, json.dumps(metadata))
            archive.writestr(CONFIG_MEMBER, json.dumps(config))
            archive.write(weights, WEIGHTS_MEMBER)
    finally:
        weights.unlink(missing_ok=True)


def describe_layers(model: Any) -> tuple[Layer, ...]:
    """Return the layers as `model.summary()` lists them."""
    return tuple(
        Layer(
            name=layer.name,
            kind=type(layer).__name__,
            output_shape=tuple(layer.output.shape),
            parameters=layer.count_params(),
        )
        for layer in model.layers
    )


def check_probabilities(probabilities: NDArray[np.float32]) -> None:
    """Check that rows are probability distributions.

    Raises:
        IncompatibleModel: they are not finite, negative, or do not sum to 1.
    """
    if not np.isfinite(probabilities).all():
        raise IncompatibleModel("Expected probabilities. Received: NaN or infinite outputs")
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise IncompatibleModel(
            "Expected probabilities that sum to 1, from a softmax. "
            f"Received: outputs from {probabilities.min():.3g} to {probabilities.max():.3g} "
            f"that sum to {sums.min():.3g} to {sums.max():.3g}"
        )


def _export(
    model: Any, folder: Path, examples: Answers, probes: Answers
) -> tuple[dict[EngineName, EngineRecord], EngineName]:
    try:
        from model_store.making.exporting import export_engines
    except (ImportError, EngineUnavailable):  # OpenVINO is not installed
        return {"keras": _unmeasured()}, "keras"
    return export_engines(model, folder, examples, probes)


def _unmeasured() -> EngineRecord:
    return EngineRecord(
        file=MODEL_FILE,
        parity=None,
        latency_ms={},
        max_batch=_BATCH,
        probe_tolerance=TOLERANCE_FLOOR,
    )
