"""The network on block means as the network on all pixels that it is.

A Dense layer on means over p x p blocks computes, to float32 rounding, what a Dense layer on all
pixels does whose kernel is constant on every block, at 1 / p² of its cost.
"""

from pathlib import Path
from typing import Any

import numpy as np

from model_store.bundle import Bundle
from model_store.engines.keras import load_model, runtime
from model_store.engines.keras_archive import read_archive
from model_store.errors import IncompatibleModel
from model_store.making.assembling import save_model
from model_store.manifest import MODEL_FILE


def expand(bundle: Bundle, path: Path) -> Any:
    """Write the bundle's network to `path` (.keras) without block means, and return it.

    Raises:
        BundleError: the bundle is damaged.
        IncompatibleModel: its network has no block means of pixels before a Dense layer.
    """
    bundle.verify_files([MODEL_FILE])
    model = expanded(load_model(read_archive(bundle.folder / MODEL_FILE)))
    save_model(model, path)
    return model


def expanded(model: Any) -> Any:
    """Return the same network with a first kernel over all pixels.

    Args:
        model: Sequential, uint8 (None, H, W) in; a plain network is returned as it is.
    """
    keras = runtime()[0]
    layers = list(getattr(model, "layers", ()))
    pooling = [k for k, one in enumerate(layers) if isinstance(one, keras.layers.AveragePooling2D)]
    if not pooling:
        return model
    at = pooling[0]
    kinds = [type(one).__name__ for one in layers[max(at - 1, 0) : at + 3]]
    if kinds != ["Reshape", "AveragePooling2D", "Flatten", "Dense"]:
        raise IncompatibleModel(
            "Expected block means of pixels, flattened, before a Dense layer. "
            f"Received: {', '.join(kinds)}"
        )
    dense = layers[at + 2]
    full = keras.layers.Dense.from_config(dense.get_config())
    network = keras.Sequential(
        [keras.Input(model.input_shape[1:], dtype="uint8")]
        + layers[: at - 1]
        + [keras.layers.Flatten(name="flatten"), full]
        + layers[at + 3 :]
    )
    kernel = keras.ops.convert_to_numpy(dense.kernel)
    full.kernel.assign(_spread(kernel, model.input_shape[1:3], layers[at].pool_size[0]))
    if dense.use_bias:
        full.bias.assign(dense.bias)
    return network


def _spread(kernel: Any, size: tuple[int, int], pool: int) -> Any:
    """Return (H*W, units): every block's weights, shared out among its pixels."""
    height, width = size
    rows, columns = height // pool, width // pool
    blocks = kernel.reshape(rows, columns, -1) / np.float32(pool * pool)
    full = np.zeros((height, width, kernel.shape[1]), np.float32)
    for row in range(rows * pool):  # a row at a time, so that the whole is held once
        full[row, : columns * pool] = np.repeat(blocks[row // pool], pool, axis=0)
    return full.reshape(height * width, -1)
