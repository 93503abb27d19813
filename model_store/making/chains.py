"""Keras models, Sequential or Functional, nested or not → their layers, in the order data takes.

A part that branches, repeats a layer, or calls one with options stays one layer.
"""

from typing import Any

from model_store.engines.keras import runtime


def chain(model: Any) -> list[Any]:
    """Return the layers of a model of one input and one output, those of models in it included."""
    layers = _opened(model)
    repeated = len({id(layer) for layer in layers}) < len(layers)
    return [_alone(model)] if repeated else layers


def last_layer(layers: list[Any], passive: tuple[type, ...]) -> Any:
    """Return the layer that outputs come from, in whatever model it is; not a `passive` one."""
    keras = runtime()[0]
    last = next(layer for layer in reversed(layers) if not isinstance(layer, passive))
    return last_layer(_backwards(last)[0][::-1], passive) if isinstance(last, keras.Model) else last


def every_layer(layers: list[Any]) -> list[Any]:
    """Return the layers with those inside of models instead of the models, first to last."""
    keras = runtime()[0]
    return [
        inner
        for layer in layers
        for inner in (every_layer(layer.layers) if isinstance(layer, keras.Model) else [layer])
    ]


def _opened(model: Any) -> list[Any]:
    keras = runtime()[0]
    if isinstance(model, keras.Sequential):
        parts = model.layers
    else:
        backwards, whole = _backwards(model)
        if not whole:
            return [_alone(model)]
        parts = backwards[::-1]
    return [
        inner
        for part in parts
        for inner in (_opened(part) if isinstance(part, keras.Model) else [part])
    ]


def _alone(model: Any) -> Any:
    """Return the model with a tensor in and a tensor out: files also hold them in lists."""
    return runtime()[0].Model(model.inputs[0], model.outputs[0], name=model.name)


def _backwards(model: Any) -> tuple[list[Any], bool]:
    """Return the layers from the output back to a branch, and whether there is none."""
    layers: list[Any] = []
    tensor = model.outputs[0]
    while tensor is not model.inputs[0]:
        layer, node_index, _ = tensor._keras_history
        node = layer._inbound_nodes[node_index]
        layers.append(layer)
        if not _is_plain(node):
            return layers, False
        tensor = node.input_tensors[0]
    return layers, True


def _is_plain(node: Any) -> bool:
    """Say whether a layer was called as `layer(tensor)`, as layers of a Sequential are."""
    called = node.arguments
    tensors = len(node.input_tensors), len(node.output_tensors), len(called.args)
    # Inference says `training=False` to every layer, whatever it was called with.
    options = [value for name, value in called.kwargs.items() if name != "training"]
    return tensors == (1, 1, 1) and not any(options)
