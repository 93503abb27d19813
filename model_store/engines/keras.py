"""Run a bundle's Keras model: the source of truth, and the engine every bundle has.

TensorFlow is imported here only, and only when a Keras model is opened.
"""

import copy
import gc
import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.calling import what_brings_tensorflow
from model_store.cpu import available_cpus
from model_store.engines import Engine, Inputs
from model_store.engines.keras_archive import KerasArchive, read_archive
from model_store.errors import EngineUnavailable, IncompatibleModel
from model_store.manifest import EngineName, Manifest
from model_store.spec import ImageSpec


class KerasEngine(Engine):
    """One traced TensorFlow function over a Keras model, (None, H, W) uint8 in."""

    def __init__(self, model: Any) -> None:
        tf = runtime()[1]
        self._function: Any = tf.function(
            lambda images: model(images, training=False),
            input_signature=[tf.TensorSpec(model.inputs[0].shape, tf.uint8)],
        )

    def infer(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return (N, labels) float32 probabilities of (N, H, W) uint8 images."""
        probabilities: NDArray[np.float32] = self._function(inputs).numpy()
        return probabilities

    def close(self) -> None:
        """Drop the weights."""
        self._function = None
        gc.collect()


def load(
    name: EngineName,
    folder: Path,
    manifest: Manifest,
    threads: int | None,
    *,
    shared: bool,  # noqa: ARG001  # every engine's module takes it
) -> KerasEngine:
    """Open the Keras model of a verified bundle; see `open_engine`."""
    _, tf = runtime()
    set_threads(tf, threads or available_cpus())
    model = load_model(read_archive(folder / manifest.engines[name].file))
    check_signature(model, manifest.image, manifest.labels)
    return KerasEngine(model)


def load_model(archive: KerasArchive) -> Any:
    """Return an ordinary `keras.Model` of an archive, with its weights and without an optimizer.

    Raises:
        IncompatibleModel: weights and layers do not fit together, or weights are not finite.
    """
    keras = runtime()[0]
    _check_size(archive)
    with TemporaryDirectory() as folder, _keras_errors():
        # When memory is short, Keras unpacks the weights beside the file: not into a bundle.
        link = Path(folder, "model.keras")
        link.symlink_to(archive.path.resolve())
        model = keras.saving.load_model(link, compile=False, safe_mode=True)
    check_weights(model)
    return model


def check_weights(model: Any) -> None:
    """Check that a model computes with numbers.

    Raises:
        IncompatibleModel: a weight is not finite.
    """
    tf = runtime()[1]
    for variable in model.weights:
        counted = "int" in variable.dtype or variable.dtype == "bool"
        if not counted and not tf.reduce_all(tf.math.is_finite(variable.value)):
            raise IncompatibleModel(f"{variable.path}: holds NaN or infinite weights")


def check_single(model: Any) -> None:
    """Check that a model has one input and one output.

    Raises:
        IncompatibleModel: it has others, or was never built.
    """
    try:
        count = len(model.inputs), len(model.outputs)
    except (AttributeError, ValueError) as error:
        raise IncompatibleModel(
            "Expected a model that knows the shape of its input. Received: one that was never "
            "built. Call model.build((None, …)) where it was made, and save it again"
        ) from error
    if count != (1, 1):
        raise IncompatibleModel(
            f"Expected a model of one input and one output. Received: {count[0]} and {count[1]}"
        )


def check_signature(model: Any, spec: ImageSpec, labels: tuple[str, ...]) -> None:
    """Check that a model takes the spec's pixels and gives one probability per label.

    Raises:
        IncompatibleModel: it does not; the message says what was expected and received.
    """
    check_single(model)
    shape, dtype = tuple(model.inputs[0].shape), model.inputs[0].dtype
    expected = (None, spec.height, spec.width)
    if shape != expected or dtype != "uint8":
        raise IncompatibleModel(f"Expected uint8 {expected} inputs. Received: {dtype} {shape}")
    outputs = tuple(model.outputs[0].shape)
    if outputs != (None, len(labels)):
        raise IncompatibleModel(
            f"Expected {len(labels)} outputs, one per label. Received: {outputs[1:]}"
        )


def _check_size(archive: KerasArchive) -> None:
    """Refuse a model that declares more weights than its file holds, before it gets any memory."""
    # Keras remembers variables without values per thread, and would fill them all in at the next
    # occasion. A thread of our own takes that memory with it.
    with ThreadPoolExecutor(1) as thread, _keras_errors():
        declared = thread.submit(_declared_weights, archive.config).result()
    if declared > archive.weights:
        raise IncompatibleModel(
            f"Expected {declared} weights for these layers. Received: {archive.weights} in the file"
        )


def _declared_weights(config: dict[str, Any]) -> int:
    keras = runtime()[0]
    with keras.StatelessScope(initialize_variables=False):
        # A copy, because Keras takes what it has read out of the configuration.
        model = keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)
        return sum(math.prod(variable.shape) for variable in model.weights)


@contextmanager
def _keras_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Keras raises whatever its layers' constructors raise
        reason = " ".join(str(error).split())[:400]
        raise IncompatibleModel(
            f"Keras cannot build the model: {type(error).__name__}: {reason}"
        ) from error


def set_threads(tf: Any, threads: int) -> None:
    """Limit TensorFlow's threads, which works until its first operation."""
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def runtime() -> tuple[Any, Any]:
    """Import Keras on TensorFlow, quietly, and return both modules.

    Raises:
        EngineUnavailable: TensorFlow is not installed, or Keras runs on another backend.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with nullcontext() if "tensorflow" in sys.modules else _quiet():
            import keras
            import tensorflow
    except ImportError as error:
        raise EngineUnavailable(
            f"The Keras engine needs TensorFlow ({error}). {what_brings_tensorflow()}"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise EngineUnavailable(
            "The Keras engine needs the TensorFlow backend. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    return keras, tensorflow


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what TensorFlow's C++ side prints before its log level takes effect."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
