"""Which classes a model's configuration may name: built-in, and unable to run code of its own.

Keras's `safe_mode` refuses pickled lambdas, but still imports and calls whatever `keras.*` class a
configuration names. This list is the other way round: what is not on it is refused.
"""

from collections.abc import Iterator
from typing import Any

from model_store.errors import UnsafeModel


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MODELS = frozenset({"Sequential", "Functional", "Model"})
_LAYERS = _names(
    """
    Activation Add AlphaDropout Average AveragePooling1D AveragePooling2D BatchNormalization
    Concatenate Conv1D Conv2D Conv2DTranspose Cropping2D Dense DepthwiseConv2D Dropout ELU Flatten
    GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D
    GlobalMaxPooling2D GroupNormalization Identity InputLayer LayerNormalization LeakyReLU
    MaxPooling1D MaxPooling2D Maximum Minimum Multiply PReLU Permute ReLU Rescaling
    Reshape SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D Subtract UnitNormalization
    UpSampling2D ZeroPadding2D
    """
)
_INITIALIZERS = _names(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones
    Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling
    Zeros
    """
)
_ACTIVATIONS = _names(
    """
    celu elu exponential gelu hard_sigmoid hard_silu hard_swish leaky_relu linear log_softmax mish
    relu relu6 selu sigmoid silu softmax softplus softsign swish tanh
    """
)
_ALLOWED = {
    "keras": _MODELS | {"DTypePolicy"},
    "keras.models": _MODELS,
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
    "keras.layers": _LAYERS,
    "keras.initializers": _INITIALIZERS,
    "keras.regularizers": frozenset({"L1", "L2", "L1L2", "OrthogonalRegularizer"}),
    "keras.constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
    "builtins": frozenset({"function"}),
}
_SYMBOLS = frozenset({"__keras_tensor__"})
_MAX_DEPTH = 60


def check_config(config: dict[str, Any]) -> None:
    """Accept only built-in models, layers, initialisers and activations.

    Raises:
        UnsafeModel: it names anything else; the message says what.
    """
    if _text(config, "class_name") not in _MODELS:
        raise UnsafeModel(f"Expected a Keras model. Received: {_text(config, 'class_name')}")
    for node in _nodes(config, 0):
        _check_node(node)


def without_compilation(config: Any) -> Any:
    """Return the configuration without optimizer, loss and metrics, which inference never needs."""
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if key != "compile_config"}
        return {key: without_compilation(value) for key, value in kept.items()}
    if isinstance(config, list):
        return [without_compilation(value) for value in config]
    return config


def _nodes(value: object, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _MAX_DEPTH:
        raise UnsafeModel(f"config.json: nested deeper than {_MAX_DEPTH}")
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _nodes(child, depth + 1)


def _check_node(node: dict[str, Any]) -> None:
    activation = node.get("activation")
    if isinstance(activation, str) and activation not in _ACTIVATIONS:
        raise UnsafeModel(f"Expected a built-in activation. Received: {activation!r}")
    if "class_name" in node:
        _check_class(node)


def _check_class(node: dict[str, Any]) -> None:
    kind, module = _text(node, "class_name"), _text(node, "module")
    if kind in _SYMBOLS:
        return
    allowed = kind in _ALLOWED.get(module, ())
    if kind == "function":
        kind = _text(node, "config")
        allowed = allowed and kind in _ACTIVATIONS
    if not allowed or node.get("registered_name") not in (None, kind):
        raise UnsafeModel(
            f"{module}.{kind} is not one of the built-in layers that can be opened without running "
            "code of the model's own; Lambda layers and custom objects are refused"
        )


def _text(node: dict[str, Any], key: str) -> str:
    value = node.get(key)
    return value if isinstance(value, str) else f"({type(value).__name__})"
