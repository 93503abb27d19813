"""From a Keras model in memory to the contents of a bundle: weights, engines, probes."""

import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import pixels_sha256
from model_store.engines.keras import KerasEngine, check_signature, check_weights, runtime
from model_store.engines.keras_archive import CONFIG_MEMBER, METADATA_MEMBER, WEIGHTS_MEMBER
from model_store.errors import IncompatibleModel
from model_store.making.answers import answer
from model_store.making.probes import MAX_GIVEN, write_probes
from model_store.manifest import MODEL_FILE, BundleContents, Layer, Probe
from model_store.spec import ImageSpec


def assemble(
    folder: Path,
    model: Any,
    spec: ImageSpec,
    labels: Sequence[str],
    images: NDArray[np.uint8],
    probe_files: Sequence[bytes],
) -> BundleContents:
    """Write model, engines and probes into a draft's folder, and describe them.

    Args:
        folder: of the draft; it may hold other files already.
        model: a Keras model, uint8 (None, H, W) in, softmax probabilities out.
        spec: what its images look like.
        labels: in output order.
        images: (N, H, W) uint8, N >= 1, on which exported engines are compared with the model.
        probe_files: encoded images of the user's to keep as probes; may be empty, as some are
            always drawn.

    Returns:
        The contents of a bundle whose training nothing is known of.

    Raises:
        IncompatibleModel: model and labels or spec do not fit, or it gives no probabilities.
        ImageError: a probe file is no image.
    """
    from model_store.making.exporting import export_engines  # not before Keras, for it brings it

    check_signature(model, spec, tuple(labels))
    check_weights(model)
    save_model(model, folder / MODEL_FILE)
    engine = KerasEngine(model)
    paths, pixels = write_probes(folder, spec, probe_files)
    probes = answer(engine.predict, pixels)
    check_probabilities(probes.probabilities)
    engines, default = export_engines(model, folder, answer(engine.predict, images), probes)
    engine.close()
    drawn = len(paths) - min(len(probe_files), MAX_GIVEN)
    return BundleContents(
        labels=tuple(labels),
        image=spec,
        layers=describe_layers(model),
        training=None,
        calibration=None,
        metrics=None,
        dataset=None,
        reference=None,
        engines=engines,
        default_engine=default,
        probes=tuple(
            Probe(
                file=path,
                pixels_sha256=pixels_sha256(pixels[k]),
                probabilities=tuple(probes.probabilities[k].tolist()),
                drawn=k < drawn,
            )
            for k, path in enumerate(paths)
        ),
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
