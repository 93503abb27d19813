"""The exported engines: OpenVINO on the CPU, one infer request, pixels passed without a copy."""

import math
import mmap
import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.cpu import available_cpus, usable_cores
from model_store.engines import Engine, Inputs
from model_store.errors import EngineUnavailable, IncompatibleModel, UnsafeModel
from model_store.manifest import EngineName, Manifest
from model_store.pixels.pooling import block_means

try:
    import openvino as ov
    from openvino import opset15 as opset
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
    "ReduceSum",
    "Transpose",
    "Relu",
    "Tanh",
    "Sigmoid",
    "Swish",
    "Softmax",
    "Result",
}
# What the CPU must be able to do, and the precision of what is left around the int8 kernel.
_CAPABILITIES = {
    "openvino-int8": ("INT8", "f32"),
    "openvino-bf16": ("BF16", "bf16"),
    "openvino-f32": ("FP32", "f32"),
}
# Weights that one core's cache holds are soon read. A second thread would spend more time waiting
# for its next share, which it does busily, than computing.
_ONE_THREAD_BYTES = 32 << 20
_CPU_INFO = Path("/proc/cpuinfo")
# One for the process: each sets up a stack for signals, and the second to go would bring back that
# of the first, which is gone; the next signal would end the process.
_CORE = ov.Core()


class OpenVINOEngine(Engine):
    """One compiled network; see `Engine` for the contract."""

    def __init__(
        self,
        compiled: ov.CompiledModel,
        weights: mmap.mmap,
        kernel: ov.op.Constant | None,
        pool: int,
    ) -> None:
        self._request: ov.InferRequest | None = compiled.create_infer_request()
        self._lent: tuple[object, ...] = (weights, kernel)  # must outlive the request
        if kernel is not None:
            self._request.set_tensor("kernel", kernel.tensor_view)
        self._pool = pool
        self._input = "pixels" if pool == 1 else "means"
        shape = compiled.input(self._input).get_partial_shape()
        self._groups = _group_shape(shape)
        self._buffer = np.zeros(0, np.uint8)

    def inputs(self, images: NDArray[np.uint8]) -> Inputs:
        """Return (N, H, W) uint8 images as they are, or the means over their blocks, flattened."""
        if self._pool == 1:
            return images
        return block_means(images, self._pool).reshape(len(images), -1)

    def infer(self, inputs: Inputs) -> NDArray[np.float32]:
        """Return (N, labels) float32 probabilities."""
        if self._request is None:
            raise EngineUnavailable("Expected an open engine. Received: a closed one")
        values = inputs if self._groups is None else self._grouped(inputs, *self._groups)
        self._request.set_tensor(self._input, ov.Tensor(values, shared_memory=True))
        self._request.infer()
        return np.array(self._request.get_output_tensor().data[: len(inputs)])

    def close(self) -> None:
        """Release the weights."""
        self._request = None
        self._lent = ()

    def _grouped(self, images: Inputs, groups: int, width: int) -> NDArray[np.uint8]:
        """Return (groups, padded N, width) uint8, valid until the next call."""
        flat = images.reshape(len(images), -1)  # (N, H*W)
        shape = (groups, _padded(len(images)), width)
        size = math.prod(shape)
        if size > len(self._buffer):
            self._buffer = np.zeros(size, np.uint8)
        filled = self._buffer[:size].reshape(shape)
        for group, rows in enumerate(filled[:, : len(images)]):
            share = flat[:, group * width : (group + 1) * width]
            rows[:, : share.shape[1]] = share
            rows[:, share.shape[1] :] = 0
        return filled


def _padded(images: int) -> int:
    """Return the batch size to compute: each that was ever used keeps memory of its own."""
    return images if images < 4 else -(-images // 4) * 4


def load(
    name: EngineName, folder: Path, manifest: Manifest, threads: int | None, *, shared: bool
) -> OpenVINOEngine:
    """Open one exported engine of a verified bundle; see `open_engine`."""
    record = manifest.engines[name]
    size = (manifest.image.height, manifest.image.width)
    return open_file(folder / record.file, name, size, threads, shared=shared, pool=record.pool)


def open_file(
    path: Path,
    name: EngineName,
    size: tuple[int, int],
    threads: int | None = None,
    *,
    shared: bool = False,
    pool: int = 1,
) -> OpenVINOEngine:
    """Open an exported .xml with the .bin beside it.

    Args:
        path: of the .xml.
        name: see `open_engine`.
        size: (height, width) of the images.
        threads: see `open_engine`.
        shared: see `open_engine`.
        pool: side of the blocks whose means the network takes; 1: pixels.

    Raises:
        EngineUnavailable: this CPU cannot run it, or OpenVINO refuses it.
        UnsafeModel: it holds an operation that no export writes.
        IncompatibleModel: it takes images of another size.
    """
    _check_host(name)
    try:
        weights = _map(path.with_suffix(".bin"))
        values = ov.Tensor(np.frombuffer(weights, np.uint8), shared_memory=True)
        model = _CORE.read_model(path.read_text(), values)
        _check(model, size, pool)
        kernel = _kernel_as_input(model) if shared and name == "openvino-int8" else None
        threads = threads or (1 if len(weights) <= _ONE_THREAD_BYTES else available_cpus())
        settings = _settings(name, threads, shared=shared)
        compiled = _CORE.compile_model(model, "CPU", settings)
        engine = OpenVINOEngine(compiled, weights, kernel, pool)
        if name == "openvino-int8" and not shared:
            engine.predict(np.zeros((1, *size), np.uint8))  # packs the weights
            if hasattr(mmap, "MADV_DONTNEED"):
                weights.madvise(mmap.MADV_DONTNEED)
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineUnavailable(f"OpenVINO cannot run {path.name} here: {error}") from error
    return engine


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        # OpenVINO wants memory that it may write to, and leaves it alone: the pages stay shared.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _kernel_as_input(model: ov.Model) -> ov.op.Constant:
    """Make the kernel of bytes an input, since the CPU plugin would pack a constant."""
    (kernel,) = (
        operation
        for operation in model.get_ops()
        if operation.get_type_name() == "Constant" and operation.get_element_type() == ov.Type.i8
    )
    parameter = opset.parameter(kernel.shape, ov.Type.i8, name="kernel")
    parameter.output(0).get_tensor().set_names({"kernel"})
    kernel.output(0).replace(parameter.output(0))
    model.add_parameters([parameter])
    return kernel


def _check_host(name: EngineName) -> None:
    wanted, _ = _CAPABILITIES[name]
    if wanted not in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineUnavailable(f"{name}: expected a CPU with {wanted}. Received: one without")
    # Older x86 instructions add two byte products in 16 bits, where ours do not fit.
    if wanted == "INT8" and platform.machine() == "x86_64" and not _has_vnni():
        raise EngineUnavailable(f"{name}: expected a CPU with VNNI. Received: one without")


def _has_vnni() -> bool:
    return _CPU_INFO.is_file() and "vnni" in _CPU_INFO.read_text()


def _settings(name: EngineName, threads: int, *, shared: bool) -> dict[str, object]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _CAPABILITIES[name][1],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Else two of its threads may find themselves on one core, and a batch takes twice as long.
        # With fewer threads than cores, every process would choose the same first ones.
        "ENABLE_CPU_PINNING": not shared and threads >= usable_cores(),
    }


def _check(model: ov.Model, size: tuple[int, int], pool: int) -> None:
    found = {operation.get_type_name() for operation in model.get_ops()}
    if strange := sorted(found - _OPERATIONS):
        raise UnsafeModel(f"Expected an exported network. Received: {', '.join(strange)} in it")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise IncompatibleModel("Expected one input and one output. Received: more")
    if model.input().get_element_type() != (ov.Type.u8 if pool == 1 else ov.Type.f32):
        raise EngineUnavailable(
            f"Expected an engine that takes {'uint8' if pool == 1 else 'float32'}. "
            "Received: one of another version of Halftone"
        )
    shape = model.input().get_partial_shape()
    if pool > 1:
        fits = shape == ov.PartialShape([-1, (size[0] // pool) * (size[1] // pool)])
    elif in_groups := _group_shape(shape):
        groups, width = in_groups
        fits = (groups - 1) * width < size[0] * size[1] <= groups * width
    else:
        fits = shape == ov.PartialShape([-1, *size])
    if not fits:
        raise IncompatibleModel(f"Expected input for images of {size}. Received: {shape}")


def _group_shape(shape: ov.PartialShape) -> tuple[int, int] | None:
    """Return (groups, width) of an input that takes pixels in groups; None: another one."""
    if len(shape) != 3 or shape[0].is_dynamic:
        return None
    groups, images, width = shape
    if images.is_static or width.is_dynamic:
        raise IncompatibleModel("Expected input of shape (groups, ?, width). Received: another")
    return groups.get_length(), width.get_length()
