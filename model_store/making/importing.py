"""Make a bundle of a Keras model that was trained elsewhere, in a notebook for instance.

Such a network usually takes floats that its author flattened and divided by 255 by hand. Here these
two steps become its first layers, so that it takes pixels as `preprocess` returns them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.engines.keras import load_model, runtime
from model_store.engines.keras_archive import read_archive
from model_store.errors import IncompatibleModel
from model_store.making.assembling import Assembled, assemble
from model_store.making.probes import MAX_GIVEN, draw_images
from model_store.manifest import BundleContents, EngineName
from model_store.pixels.preprocessing import preprocess
from model_store.spec import ImageSpec
from model_store.store.store import ModelStore

Pixels = Literal["auto", "0-1", "0-255"]
_DRAWN_IMAGES = 48
_FAITHFUL: tuple[EngineName, ...] = ("openvino-f32", "keras")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the file itself cannot say of a model."""

    file: Path
    labels: tuple[str, ...]  # in output order
    spec: ImageSpec
    pixels: Pixels = "auto"  # the range the network was trained on
    images: Sequence[bytes] = ()  # encoded examples, to measure engines on


@dataclass(slots=True)
class Imported:
    """A published bundle, and what was decided on the way."""

    bundle: Bundle
    notes: list[str] = field(default_factory=list)


def import_model(store: ModelStore, name: str, request: ImportRequest) -> Imported:
    """Wrap a `.keras` model so that it takes pixels, and publish it under `name`.

    Raises:
        UnsafeModel: the file could run code.
        IncompatibleModel: inputs or outputs do not fit the size or the labels.
        ImageError: an example image cannot be read.
        StoreError: it cannot be published.
    """
    with store.draft(name) as draft:
        notes: list[str] = []
        model = wrap_network(load_model(read_archive(request.file)), request, notes)
        images = _images(request)
        assembled = assemble(
            draft.folder, model, request.spec, request.labels, images, request.images[:MAX_GIVEN]
        )
        del model
        return Imported(draft.publish(_contents(request, assembled, notes)), notes)


def wrap_network(model: Any, request: ImportRequest, notes: list[str]) -> Any:
    """Return a model that takes (None, H, W) uint8 and gives one probability per label.

    Args:
        model: a Keras model of one input and one output.
        request: size, labels and pixel range.
        notes: decisions are appended to it, one sentence each.

    Raises:
        IncompatibleModel: it does not fit; the message says what was expected and received.
    """
    keras = runtime()[0]
    spec = request.spec
    _check_single(model)
    front = _front(model, spec, request.pixels, notes)
    inputs = keras.Input((spec.height, spec.width), dtype="uint8")
    if isinstance(model, keras.Sequential):
        layers = _finish(list(model.layers), model, request.labels, notes)
        return keras.Sequential([inputs, *front, *layers])
    _refuse_label_count(model, request.labels)
    outputs = inputs
    for layer in [*front, model]:
        outputs = layer(outputs)
    notes.append("It is not Sequential, so only the keras engine can run it.")
    return keras.Model(inputs, outputs)


def _check_single(model: Any) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise IncompatibleModel(
            "Expected a model of one input and one output. "
            f"Received: {len(model.inputs)} and {len(model.outputs)}"
        )


def _front(model: Any, spec: ImageSpec, pixels: Pixels, notes: list[str]) -> list[Any]:
    """Return the layers between uint8 pixels and the network's own input."""
    keras = runtime()[0]
    height, width = spec.height, spec.width
    shape = tuple(model.inputs[0].shape[1:])
    scaling = _scaling(model, pixels, notes)
    if shape == (height * width,):
        return [*scaling, keras.layers.Flatten(name=_unused("flatten", model))]
    if shape == (height, width):
        return scaling
    if shape == (height, width, 1):
        return [*scaling, keras.layers.Reshape(shape, name=_unused("reshape", model))]
    raise IncompatibleModel(
        f"Expected an input of ({height * width},), ({height}, {width}) or ({height}, {width}, 1), "
        f"for images of {height} x {width} pixels in grayscale. Received: {shape}"
    )


def _scaling(model: Any, pixels: Pixels, notes: list[str]) -> list[Any]:
    keras = runtime()[0]
    own = any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers[:4])
    if own and pixels == "auto":
        notes.append("It rescales pixels itself; they reach it as 0-255.")
        pixels = "0-255"
    elif pixels == "auto":
        notes.append("Pixels are divided by 255 before they reach it; --pixels 0-255 if not.")
    first = model.layers[0] if isinstance(model, keras.Sequential) else None
    if pixels == "0-255" and isinstance(first, keras.layers.Rescaling):
        return []
    # A factor of 1 turns bytes into floats, which other layers need.
    scale = 1.0 if pixels == "0-255" else 1 / 255
    return [keras.layers.Rescaling(scale, name=_unused("pixels", model))]


def _finish(layers: list[Any], model: Any, labels: tuple[str, ...], notes: list[str]) -> list[Any]:
    """Return the layers so that they end in one softmax output per label."""
    keras = runtime()[0]
    if _is_binary_sigmoid(layers[-1], labels):
        notes.append(f"Its one sigmoid output became two: {labels[0]} is 1 - p, {labels[1]} is p.")
        return [*layers[:-1], *_two_outputs(layers[-1], model)]
    _refuse_label_count(model, labels)
    activation = _last_activation(layers)
    if activation == "softmax":
        return layers
    if activation == "linear":
        notes.append("It ends in logits; a softmax was added.")
        return [*layers, keras.layers.Softmax(name=_unused("softmax", model))]
    raise IncompatibleModel(
        f"Expected a network that ends in a softmax or in logits. Received: {activation}"
    )


def _is_binary_sigmoid(layer: Any, labels: tuple[str, ...]) -> bool:
    keras = runtime()[0]
    dense = isinstance(layer, keras.layers.Dense) and layer.units == 1
    return len(labels) == 2 and dense and _activation(layer) == "sigmoid"


def _two_outputs(layer: Any, model: Any) -> list[Any]:
    """Return the same function as a softmax: sigmoid(z) is softmax(0, z)."""
    keras = runtime()[0]
    dense = keras.layers.Dense(2, name=_unused(f"{layer.name}_two", model))
    dense.build(layer.input.shape)
    dense.kernel.assign(np.pad(np.asarray(layer.kernel.value), ((0, 0), (1, 0))))
    if layer.use_bias:
        dense.bias.assign(np.pad(np.asarray(layer.bias.value), (1, 0)))
    return [dense, keras.layers.Softmax(name=_unused("softmax", model))]


def _last_activation(layers: list[Any]) -> str:
    keras = runtime()[0]
    passive = (keras.layers.Dropout, keras.layers.Identity)
    return _activation(next(layer for layer in reversed(layers) if not isinstance(layer, passive)))


def _activation(layer: Any) -> str:
    keras = runtime()[0]
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    return str(getattr(activation, "__name__", type(layer).__name__))


def _refuse_label_count(model: Any, labels: tuple[str, ...]) -> None:
    shape = tuple(model.outputs[0].shape[1:])
    if shape != (len(labels),):
        received = shape[0] if len(shape) == 1 else f"outputs of shape {shape}"
        raise IncompatibleModel(
            f"Expected {len(labels)} outputs, one per label: {', '.join(labels[:20])}. "
            f"Received: {received}"
        )


def _unused(name: str, model: Any) -> str:
    taken = {layer.name for layer in model.layers}
    while name in taken:
        name += "_"
    return name


def _images(request: ImportRequest) -> NDArray[np.uint8]:
    if not request.images:
        return draw_images(request.spec, _DRAWN_IMAGES)
    return np.stack([preprocess(data, request.spec) for data in request.images])


def _contents(request: ImportRequest, assembled: Assembled, notes: list[str]) -> BundleContents:
    default = assembled.default_engine
    if not request.images and default not in _FAITHFUL:
        # Rounded weights were compared on drawings only, which say little about real images.
        default = next(name for name in _FAITHFUL if name in assembled.engines)
        notes.append(f"Served by {default}; --images FOLDER lets faster engines be measured.")
    return replace(assembled, default_engine=default).untrained(request.labels, request.spec)
