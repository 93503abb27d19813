"""Make a bundle of a Keras model that was trained elsewhere, in a notebook for instance.

Such a network usually takes floats that its author flattened and divided by 255 by hand. Here these
two steps become its first layers, so that it takes pixels as `preprocess` returns them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.engines.keras import check_single, load_model, runtime
from model_store.engines.keras_archive import read_archive
from model_store.errors import ImageError, IncompatibleModel
from model_store.making.answers import answer
from model_store.making.assembling import assemble
from model_store.making.chains import chain, every_layer
from model_store.making.endings import finish
from model_store.making.pixel_range import PixelRange, doubt, range_of_layers
from model_store.making.probes import MAX_GIVEN, draw_images
from model_store.manifest import BundleContents, EngineName
from model_store.pixels.preprocessing import preprocess
from model_store.sources import Source, image_indices
from model_store.spec import ImageSpec
from model_store.store.store import ModelStore

Pixels = Literal["auto", "0-1", "0-255"]
_DRAWN_IMAGES = 48
_MOST_IMAGES = 256
_FAITHFUL: tuple[EngineName, ...] = ("openvino-f32", "keras")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the file itself cannot say of a model."""

    file: Path
    labels: tuple[str, ...]  # in output order
    spec: ImageSpec
    pixels: Pixels = "auto"  # the range the network was trained on
    images: Source | None = None  # examples, to measure engines on


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
        ImageError: no example image can be read; those that cannot beside others are noted.
        StoreError: it cannot be published.
    """
    with store.draft(name) as draft:
        notes: list[str] = []
        examples = _examples(request.images, request.spec, notes) if request.images else {}
        images = (
            np.stack(list(examples.values()))
            if examples
            else draw_images(request.spec, _DRAWN_IMAGES)
        )
        model = wrap_network(load_model(read_archive(request.file)), request, images, notes)
        kept = _spread(list(examples), MAX_GIVEN)
        probes = [request.images.encoded(k) for k in kept] if request.images else []
        contents = assemble(draft.folder, model, request.spec, request.labels, images, probes)
        del model
        if request.images is None:
            contents = _faithful(contents, notes)
        return Imported(draft.publish(contents), notes)


def wrap_network(
    model: Any, request: ImportRequest, images: NDArray[np.uint8], notes: list[str]
) -> Any:
    """Return a model that takes (None, H, W) uint8 and gives one probability per label.

    Args:
        model: a Keras model of one input and one output.
        request: size, labels and pixel range.
        images: (N, H, W) uint8, N >= 1, to see how the network answers.
        notes: decisions and doubts are appended to it, one sentence each.

    Raises:
        IncompatibleModel: it does not fit; the message says what was expected and received.
    """
    check_single(model)
    layers = chain(model)
    pixels = _range(model, layers, request.pixels, notes)

    def network(range_: PixelRange, layers: list[Any]) -> Any:
        return _sequential(request.spec, [*_front(model, layers, request.spec, range_), *layers])

    def outputs(model: Any) -> NDArray[np.float32]:
        return answer(lambda batch: np.asarray(model(batch, training=False)), images).probabilities

    unfinished = network(pixels, layers)
    layers = finish(layers, lambda: outputs(unfinished), request.labels, notes)
    other: PixelRange = "0-1" if pixels == "0-255" else "0-255"
    wrapped = network(pixels, layers)
    notes += doubt(pixels, outputs(wrapped), outputs(network(other, layers)))
    return wrapped


def _range(model: Any, layers: list[Any], pixels: Pixels, notes: list[str]) -> PixelRange:
    if pixels != "auto":
        return pixels
    if "int" in model.inputs[0].dtype:
        notes.append("It takes whole numbers; pixels reach it as 0-255.")
        return "0-255"
    found = range_of_layers(every_layer(layers))
    if found is None:
        notes.append("Pixels are divided by 255 before they reach it; --pixels 0-255 if not.")
        return "0-1"
    notes.append(f"Its layer {found[1]} expects pixels of {found[0]}, so they reach it as such.")
    return found[0]


def _front(model: Any, layers: list[Any], spec: ImageSpec, pixels: PixelRange) -> list[Any]:
    """Return the layers between uint8 pixels and the network's own input."""
    keras = runtime()[0]
    # A factor of 1 turns bytes into floats, which other layers need.
    scale = 1.0 if pixels == "0-255" else 1 / 255
    rescales = pixels == "0-255" and isinstance(layers[0], keras.layers.Rescaling)
    scaling = [] if rescales else [keras.layers.Rescaling(scale, name="pixels")]
    shape = tuple(model.inputs[0].shape[1:])
    size, channel = (spec.height, spec.width), (spec.height, spec.width, 1)

    def takes(given: tuple[int, ...]) -> bool:  # None is any size
        return len(shape) == len(given) and all(
            wanted in (None, length) for wanted, length in zip(shape, given, strict=True)
        )

    if shape == (spec.height * spec.width,):
        return [*scaling, keras.layers.Flatten(name="flatten")]
    if takes(size):
        return scaling
    if takes(channel):
        return [*scaling, keras.layers.Reshape(channel, name="reshape")]
    raise IncompatibleModel(
        f"Expected an input of ({size[0] * size[1]},), {size} or {channel}, "
        f"for images of {size[0]} x {size[1]} pixels in grayscale. Received: {shape}"
    )


def _sequential(spec: ImageSpec, layers: list[Any]) -> Any:
    """Return a model of uint8 pixels and float32 outputs; of two equal names, one gets changed."""
    keras = runtime()[0]
    taken: set[str] = set()
    for layer in layers:
        while layer.name in taken:
            layer.name += "_"
        taken.add(layer.name)
    model = keras.Sequential([keras.Input((spec.height, spec.width), dtype="uint8"), *layers])
    if model.outputs[0].dtype != "float32":  # of a network in mixed precision
        model.add(keras.layers.Identity(dtype="float32"))
    return model


def _examples(source: Source, spec: ImageSpec, notes: list[str]) -> dict[int, NDArray[np.uint8]]:
    """Return the (H, W) pixels of some images by their index, evenly: folders are sorted by class.

    Raises:
        NoImages: there is no image among the files.
        ImageError: none of them can be read.
    """
    examples: dict[int, NDArray[np.uint8]] = {}
    refused: list[ImageError] = []
    for index in _spread(image_indices(source), _MOST_IMAGES):
        try:
            examples[index] = preprocess(source.encoded(index), spec)
        except ImageError as error:
            refused.append(type(error)(f"{source.items[index].name}: {error}"))
    if not examples:
        raise refused[0]
    notes += [f"Left out of the examples: {error}" for error in refused]
    return examples


def _spread(indices: Sequence[int], most: int) -> list[int]:
    """Return up to `most` of them, evenly."""
    return [indices[int(k)] for k in np.linspace(0, len(indices) - 1, min(len(indices), most))]


def _faithful(contents: BundleContents, notes: list[str]) -> BundleContents:
    """Serve by unrounded weights: rounded ones were compared on drawings, which say little."""
    lost = contents.default_engine
    if lost in _FAITHFUL:
        return contents
    default = next(name for name in _FAITHFUL if name in contents.engines)
    fast, faithful = (contents.engines[name].latency_ms["1"] for name in (lost, default))
    notes.append(
        f"Served by {default}: {lost} is {faithful / fast:.1f} times as fast, but was compared on "
        "drawings only. Import it again with --images FOLDER to have it measured and used."
    )
    return contents.model_copy(update={"default_engine": default})
