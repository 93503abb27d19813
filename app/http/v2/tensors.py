"""Tensors of the Open Inference Protocol: JSON or little-endian bytes, to and from NumPy.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and its binary
tensor data extension.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidParameter
from app.http.v2.schemas import Tensor
from app.received import decode_base64


def read_images(tensor: Tensor, binary: bytes | None) -> list[bytes]:
    """Return the encoded images of a BYTES tensor."""
    if binary is not None:
        images = split_bytes(binary)
    else:
        images = [_json_bytes(element) for element in _flat(tensor.data or [])]
    _check_count(tensor, len(images))
    return images


def read_pixels(tensor: Tensor, binary: bytes | None, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the pixels of a UINT8 (0-255) or FP32 (0-1) tensor.

    Args:
        tensor: shape (N, H, W) or (N, H*W).
        binary: its bytes, if it came as such.
        shape: the model's (H, W).

    Returns:
        (N, H, W) uint8.
    """
    dtype = np.dtype("<u1" if tensor.datatype == "UINT8" else "<f4")
    height, width = shape
    if tensor.shape[1:] not in ([height, width], [height * width]):
        raise InvalidParameter(
            f"Expected pixels of shape [N, {height}, {width}] or [N, {height * width}]. "
            f"Received: {tensor.shape}"
        )
    _check_count(tensor, tensor.shape[0])
    values = _numbers(tensor, binary, dtype)
    if tensor.datatype == "FP32":
        if not ((values >= 0) & (values <= 1)).all():
            raise InvalidParameter("Expected FP32 pixels from 0 to 1. Received: others")
        values = np.rint(values * 255)
    return values.astype(np.uint8).reshape(-1, *shape)


def split_bytes(data: bytes) -> list[bytes]:
    """Return the elements of a binary BYTES tensor: each has its length before it, in 4 bytes."""
    elements, start = [], 0
    while start < len(data):
        if start + 4 > len(data):
            raise InvalidParameter("Expected a length of 4 bytes before every BYTES element.")
        (length,) = struct.unpack_from("<I", data, start)
        if start + 4 + length > len(data):
            raise InvalidParameter("Expected every BYTES element to be as long as it says.")
        elements.append(data[start + 4 : start + 4 + length])
        start += 4 + length
    return elements


def join_bytes(elements: Sequence[bytes]) -> bytes:
    """Return the binary form of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def images_in(tensor: Tensor) -> int:
    """Return how many images a tensor's shape announces."""
    return math.prod(tensor.shape if tensor.datatype == "BYTES" else (tensor.shape or [0])[:1])


def _check_count(tensor: Tensor, count: int) -> None:
    if count != images_in(tensor) or count < 1:
        raise InvalidParameter(
            f"Expected as many images as the shape {tensor.shape} says, at least 1. "
            f"Received: {count}"
        )


def _numbers(tensor: Tensor, binary: bytes | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    expected = math.prod(tensor.shape)
    if binary is not None:
        size = expected * dtype.itemsize
        if len(binary) != size:
            raise InvalidParameter(f"Expected {size} bytes of pixels. Received: {len(binary)}")
        return np.frombuffer(binary, dtype)
    try:
        values = np.array(tensor.data, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InvalidParameter("Expected numbers, flat or nested like the shape.") from error
    if values.size != expected:
        raise InvalidParameter(f"Expected {expected} numbers. Received: {values.size}")
    if tensor.datatype == "UINT8" and not (np.isin(values, np.arange(256))).all():
        raise InvalidParameter("Expected UINT8 pixels to be whole numbers from 0 to 255.")
    with np.errstate(over="ignore"):  # infinity is refused like any other that is too large
        return values.astype(dtype)


def _flat(data: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for element in data:
        flat += element if isinstance(element, list) else [element]
    return flat


def _json_bytes(element: object) -> bytes:
    """Return the bytes of a JSON string: base64, or one character from U+0000 to U+00FF per byte.

    The protocol leaves open how JSON carries bytes that are no text. Encoded images begin with
    bytes that base64 never does, so the two cannot be mistaken for each other.
    """
    if isinstance(element, str):
        try:
            raw = element.encode("latin-1")
        except UnicodeEncodeError:
            pass
        else:
            decoded = decode_base64(raw)
            return raw if decoded is None else decoded
    raise InvalidParameter("Expected BYTES as strings: base64, or one character per byte.")
