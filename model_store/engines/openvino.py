"""The exported engines: OpenVINO on the CPU, one infer request, pixels passed without a copy."""

import math
import platform
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
    "Subtract",
    "ReduceSum",
    "VariadicSplit",
    "Transpose",
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
_CPU_INFO = Path("/proc/cpuinfo")
_SIGN_BIT = np.uint8(0x80)
# One for the process: each sets up a stack for signals, and the second to go would bring back that
# of the first, which is gone; the next signal would end the process.
_CORE = ov.Core()
_LANES = 16  # images that one AVX-512 instruction takes, as 32-bit sums


class OpenVINOEngine:
    """One compiled network; see `Engine` for the contract."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._request: ov.InferRequest | None = compiled.create_infer_request()
        grouped = compiled.input().get_element_type() == ov.Type.i8
        self._groups = _Groups(*_group_shape(compiled)) if grouped else None

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, labels) float32 probabilities of (N, H, W) uint8 images."""
        if self._request is None:
            raise EngineUnavailable("Expected an open engine. Received: a closed one")
        pixels = images if self._groups is None else self._groups.fill(images)
        self._request.set_input_tensor(ov.Tensor(pixels, shared_memory=True))
        self._request.infer()
        return np.array(self._request.get_output_tensor().data[: len(images)])

    def close(self) -> None:
        """Release the weights."""
        self._request = self._groups = None


class _Groups:
    """A buffer for pixels as the int8 engine takes them: signed, in groups, groups first."""

    def __init__(self, groups: int, width: int) -> None:
        self._groups, self._width = groups, width
        self._buffer = np.zeros(0, np.int8)

    def fill(self, images: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Return (groups, padded N, width) int8, valid until the next call."""
        flat = images.reshape(len(images), -1)  # (N, H*W)
        signed = self._memory((self._groups, _padded(len(images)), self._width))
        for group, rows in enumerate(signed[:, : len(images)]):
            share = flat[:, group * self._width : (group + 1) * self._width]
            # Flipping the topmost bit is subtracting 128.
            np.bitwise_xor(share, _SIGN_BIT, out=rows[:, : share.shape[1]].view(np.uint8))
            rows[:, share.shape[1] :] = 0
        return signed

    def _memory(self, shape: tuple[int, int, int]) -> NDArray[np.int8]:
        size = math.prod(shape)
        if size > len(self._buffer):
            self._buffer = np.zeros(size, np.int8)
        return self._buffer[:size].reshape(shape)


def _padded(images: int) -> int:
    """Return the batch size to compute: 1, or whole registers of 16.

    A batch of 2 takes as long as one of 16, and each new size would be compiled on first use.
    """
    return 1 if images == 1 else -(-images // _LANES) * _LANES


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
    _check_host(name)
    try:
        model = _CORE.read_model(path)  # maps the .bin
        _check(model, size)
        return OpenVINOEngine(_CORE.compile_model(model, "CPU", _settings(name, threads)))
    except RuntimeError as error:
        raise EngineUnavailable(f"OpenVINO cannot run {path.name} here: {error}") from error


def _check_host(name: EngineName) -> None:
    wanted = _CAPABILITIES[name]
    if wanted not in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineUnavailable(f"{name}: expected a CPU with {wanted}. Received: one without")
    # Older x86 instructions add two byte products in 16 bits, where ours do not fit.
    if wanted == "INT8" and platform.machine() == "x86_64" and not _has_vnni():
        raise EngineUnavailable(f"{name}: expected a CPU with VNNI. Received: one without")


def _has_vnni() -> bool:
    try:
        return "vnni" in _CPU_INFO.read_text()
    except OSError:
        return False


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
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise IncompatibleModel("Expected one input and one output. Received: more")
    shape = model.input().get_partial_shape()
    if model.input().get_element_type() == ov.Type.i8:
        groups, width = _group_shape(model)
        fits = (groups - 1) * width < size[0] * size[1] <= groups * width
    else:
        fits = shape == ov.PartialShape([-1, *size])
    if not fits:
        raise IncompatibleModel(f"Expected input for images of {size}. Received: {shape}")


def _group_shape(model: ov.Model | ov.CompiledModel) -> tuple[int, int]:
    groups, images, width = model.input().get_partial_shape()
    if groups.is_dynamic or images.is_static or width.is_dynamic:
        raise IncompatibleModel("Expected input of shape (groups, ?, width). Received: another")
    return groups.get_length(), width.get_length()
