"""The exported engines: OpenVINO on the CPU, one infer request, pixels passed without a copy."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.errors import EngineUnavailable, IncompatibleModel, UnsafeModel
from model_store.manifest import EngineName, Manifest

try:
    import openvino as ov
except ImportError as error:
    raise EngineUnavailable(f"Expected the openvino library. Received: {error}") from error

# What an exported network is made of. Nothing in it reads a file, keeps state or loops.
_OPERATIONS = {
    "Parameter",
    "Constant",
    "Convert",
    "Reshape",
    "FakeQuantize",
    "Multiply",
    "MatMul",
    "Add",
    "Relu",
    "Tanh",
    "Sigmoid",
    "Swish",
    "Softmax",
    "Result",
}
_PRECISIONS = {
    "openvino-int8": "f32",  # of what is left around the int8 kernel
    "openvino-bf16": "bf16",
    "openvino-f32": "f32",
}
_CAPABILITIES = {"openvino-int8": "INT8", "openvino-bf16": "BF16", "openvino-f32": "FP32"}


class OpenVINOEngine:
    """One compiled network; see `Engine` for the contract."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._compiled: ov.CompiledModel | None = compiled
        self._request = compiled.create_infer_request()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, labels) float32 probabilities of (N, H, W) uint8 images."""
        self._request.set_input_tensor(ov.Tensor(images, shared_memory=True))
        self._request.infer()
        return np.array(self._request.get_output_tensor().data)

    def close(self) -> None:
        """Release the weights."""
        self._request = self._compiled = None


def load(name: EngineName, folder: Path, manifest: Manifest, threads: int) -> OpenVINOEngine:
    """Open one exported engine of a bundle whose files are verified.

    Raises:
        EngineUnavailable: this CPU cannot run it, or OpenVINO refuses it.
        UnsafeModel: it holds an operation that no export writes.
        IncompatibleModel: its shapes are not those of the manifest.
    """
    path = folder / manifest.engines[name].file
    return open_file(path, name, (manifest.image.height, manifest.image.width), threads)


def open_file(path: Path, name: EngineName, size: tuple[int, int], threads: int) -> OpenVINOEngine:
    """Open an exported .xml with the .bin beside it; see `load`."""
    core = ov.Core()
    if _CAPABILITIES[name] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineUnavailable(f"Expected a CPU with {_CAPABILITIES[name]}. Received: one without")
    try:
        model = core.read_model(path)
        _check(model, size)
        return OpenVINOEngine(core.compile_model(model, "CPU", _settings(name, threads)))
    except RuntimeError as error:
        raise EngineUnavailable(f"OpenVINO cannot run {path.name} here: {error}") from error


def _settings(name: EngineName, threads: int) -> dict[str, object]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _PRECISIONS[name],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # The service's decoding threads move about; being tied to a core that they occupy costs.
        "ENABLE_CPU_PINNING": False,
    }


def _check(model: ov.Model, size: tuple[int, int]) -> None:
    found = {operation.get_type_name() for operation in model.get_ops()}
    if strange := sorted(found - _OPERATIONS):
        raise UnsafeModel(f"Expected an exported network. Received: {', '.join(strange)} in it")
    expected = ov.PartialShape([-1, *size])
    received = model.inputs[0].get_partial_shape()
    if len(model.inputs) != 1 or received != expected:
        raise IncompatibleModel(f"Expected input of shape {expected}. Received: {received}")
