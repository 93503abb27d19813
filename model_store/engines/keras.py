"""Run a bundle's Keras model: the source of truth, and the engine every bundle has.

TensorFlow is imported here only, and only when a Keras model is opened. The weights are read
straight from the file into the memory that TensorFlow computes with, so that a model of 944 MB
needs 944 MB, not the three to five times as much that `load_model` takes.
"""

import copy
import gc
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.cpu import available_cpus
from model_store.errors import CorruptBundle, EngineUnavailable, IncompatibleModel
from model_store.keras_archive import KerasArchive, StoredArray, read_archive
from model_store.manifest import EngineName, Manifest
from model_store.spec import ImageSpec

Forward = Callable[[Any], Any]


class KerasEngine:
    """One traced TensorFlow function over a Keras model."""

    def __init__(self, forward: Forward, spec: ImageSpec) -> None:
        """Trace `forward`, which maps (N, H, W) uint8 tensors to (N, labels) probabilities."""
        tf = runtime()[1]
        signature = [tf.TensorSpec((None, spec.height, spec.width), tf.uint8)]
        self._function: Any = tf.function(forward, input_signature=signature)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, labels) float32 probabilities of (N, H, W) uint8 images."""
        probabilities: NDArray[np.float32] = self._function(images).numpy()
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
    """Open the Keras model of a verified bundle.

    Args:
        name: "keras".
        folder: the bundle.
        manifest: its manifest.
        threads: CPU threads TensorFlow may use, None: all; the first engine of a process decides.
        shared: makes no difference; TensorFlow copies its weights.

    Raises:
        EngineUnavailable: TensorFlow is not installed.
        UnsafeModel: the file could run code.
        IncompatibleModel: its inputs or outputs do not fit the manifest.
    """
    archive = read_archive(folder / manifest.engines[name].file)
    _, tf = runtime()
    set_threads(tf, threads or available_cpus())
    model = _build_without_values(archive)
    check_signature(model, manifest.image, manifest.labels)
    return KerasEngine(_stateless_forward(model, archive), manifest.image)


def wrap(model: Any, spec: ImageSpec) -> KerasEngine:
    """Return an engine over a model that is in memory already."""
    return KerasEngine(lambda images: model(images, training=False), spec)


def load_model(archive: KerasArchive) -> Any:
    """Return an ordinary `keras.Model` of an archive, with its weights and without an optimizer.

    Raises:
        IncompatibleModel: weights and layers do not fit together.
    """
    runtime()
    # First without memory, so that a model that declares terabytes is found out before it gets any.
    _build_without_values(archive)
    model = _deserialize(archive.config)
    for path, variable in stored_variables(model):
        if path in archive.arrays:
            variable.assign(archive.read(path))
    return model


def check_signature(model: Any, spec: ImageSpec, labels: tuple[str, ...]) -> None:
    """Check that a model takes the spec's pixels and gives one probability per label.

    Raises:
        IncompatibleModel: it does not; the message says what was expected and received.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise IncompatibleModel(
            "Expected a model of one input and one output. "
            f"Received: {len(model.inputs)} and {len(model.outputs)}"
        )
    shape, dtype = tuple(model.inputs[0].shape), model.inputs[0].dtype
    expected = (None, spec.height, spec.width)
    if shape != expected or dtype != "uint8":
        raise IncompatibleModel(f"Expected uint8 {expected} inputs. Received: {dtype} {shape}")
    outputs = tuple(model.outputs[0].shape)
    if outputs != (None, len(labels)):
        raise IncompatibleModel(
            f"Expected {len(labels)} outputs, one per label. Received: {outputs[1:]}"
        )


def stored_variables(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (HDF5 path, variable) for every weight, in the order and naming of Keras's saving."""
    return _walk(model, "", set())


def _walk(layer: Any, path: str, visited: set[int]) -> Iterator[tuple[str, Any]]:
    if id(layer) in visited:
        return
    visited.add(id(layer))
    own: dict[str, Any] = {}
    layer.save_own_variables(own)
    for key, variable in own.items():
        yield f"{path}vars/{key}", variable
    used: Counter[str] = Counter()
    for child in getattr(layer, "layers", ()):
        name = _snake_case(type(child).__name__)
        suffix = f"_{used[name]}" if used[name] else ""
        used[name] += 1
        yield from _walk(child, f"{path}layers/{name}{suffix}/", visited)


def _snake_case(name: str) -> str:
    """Spell a class as Keras's `to_snake_case` does; the paths in the file depend on it."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _deserialize(config: dict[str, Any]) -> Any:
    keras = runtime()[0]
    try:
        # A copy, because Keras takes what it has read out of the configuration.
        return keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers' constructors raise.
        raise IncompatibleModel(f"Keras cannot build the model: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _build_without_values(archive: KerasArchive) -> Any:
    """Build the layers with shapes but no memory, and check them against the stored arrays.

    Raises:
        IncompatibleModel: a weight is missing or has another shape than its layer declares.
    """
    keras = runtime()[0]
    outcome: list[Any] = []

    def build() -> None:
        try:
            with keras.StatelessScope(initialize_variables=False):
                model = _deserialize(archive.config)
                _check_arrays(model, archive.arrays)
                outcome.append(model)
        except Exception as error:
            outcome.append(error)

    # Keras remembers variables without values per thread, and would fill them all in at the next
    # occasion. A thread of our own takes that memory with it.
    thread = threading.Thread(target=build, name="keras-build")
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _check_arrays(model: Any, arrays: dict[str, StoredArray]) -> None:
    for path, variable in stored_variables(model):
        stored = arrays.get(path)
        if stored is None:
            raise IncompatibleModel(f"{variable.path}: its weights are not in the file")
        if stored.shape != tuple(variable.shape):
            raise IncompatibleModel(
                f"{variable.path}: expected shape {tuple(variable.shape)}. Received: {stored.shape}"
            )


def _stateless_forward(model: Any, archive: KerasArchive) -> Forward:
    paths = {id(variable): path for path, variable in stored_variables(model)}
    trainable = [_tensor(v, archive, paths) for v in model.trainable_variables]
    others = [_tensor(v, archive, paths) for v in model.non_trainable_variables]

    def forward(images: Any) -> Any:
        return model.stateless_call(trainable, others, images, training=False)[0]

    return forward


def _tensor(variable: Any, archive: KerasArchive, paths: dict[int, str]) -> Any:
    tf = runtime()[1]
    path = paths.get(id(variable))
    if path is None:  # a random layer's seed, of no use at inference
        return tf.zeros(variable.shape, variable.dtype)
    array = archive.read(path).astype(variable.dtype, copy=False)
    if array.dtype.kind == "f" and not _all_finite(array):
        raise CorruptBundle(f"{variable.path}: holds NaN or infinite weights")
    # DLPack shares the memory; tf.constant would copy it.
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _all_finite(array: NDArray[Any]) -> bool:
    flat = array.reshape(-1)
    step = 1 << 22  # bounds the temporary to 4 MB
    return all(np.isfinite(flat[i : i + step]).all() for i in range(0, len(flat), step))


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
        with _quiet("tensorflow" not in sys.modules):
            import keras
            import tensorflow
    except ImportError as error:
        raise EngineUnavailable(
            f"The Keras engine needs TensorFlow: pip install tensorflow ({error})"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise EngineUnavailable(
            "The Keras engine needs the TensorFlow backend. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    return keras, tensorflow


@contextmanager
def _quiet(wanted: bool) -> Iterator[None]:
    """Drop what TensorFlow's C++ side prints before its log level takes effect."""
    if not wanted:
        yield
        return
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
