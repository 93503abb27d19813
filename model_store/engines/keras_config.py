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
# Left out: Lambda, TFSMLayer, TorchModuleWrapper, JaxLayer and FlaxLayer run code; StringLookup,
# IntegerLookup and TextVectorization read files that the configuration names; Layer and Wrapper
# are for subclasses.
_LAYERS = (
    _names(
        """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    BatchNormalization Bidirectional Concatenate Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout
    ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GroupNormalization
    GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking
    Maximum Minimum MultiHeadAttention Multiply PReLU Permute RMSNormalization RNN ReLU RepeatVector
    Reshape ReversibleEmbedding SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax
    SpectralNormalization StackedRNNCells Subtract TimeDistributed UnitNormalization

    AugMix AutoContrast CategoryEncoding CenterCrop ContrastLimitedAdaptiveHistogramEqualization
    CutMix Discretization Equalization HashedCrossing Hashing MaxNumBoundingBoxes MelSpectrogram
    MixUp Normalization Pipeline RandAugment RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
    RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom
    Rescaling Resizing STFTSpectrogram Solarization
    """
    )
    | {
        f"{kind}{rank}D"
        for rank in (1, 2, 3)
        for kind in _names(
            """
        AdaptiveAveragePooling AdaptiveMaxPooling AveragePooling Conv ConvLSTM Cropping
        GlobalAveragePooling GlobalMaxPooling MaxPooling SpatialDropout UpSampling ZeroPadding
        """
        )
    }
    | {f"Conv{rank}DTranspose" for rank in (1, 2, 3)}
)
_INITIALIZERS = _names(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal
    LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT
    STFTInitializer TruncatedNormal VarianceScaling Zeros
    """
)
_ACTIVATIONS = _names(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
    softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    """
)
_DTYPES = frozenset({"DTypePolicy", "FloatDTypePolicy"})
_ALLOWED = {
    "keras": _MODELS | _DTYPES,
    "keras.dtype_policies": _DTYPES,
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
    for node in nodes(config):
        _check_node(node)


def nodes(value: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield every object of a configuration, outer ones first.

    Raises:
        UnsafeModel: it is nested too deep.
    """
    if depth > _MAX_DEPTH:
        raise UnsafeModel(f"config.json: nested deeper than {_MAX_DEPTH}")
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from nodes(child, depth + 1)


def _check_node(node: dict[str, Any]) -> None:
    for key, value in node.items():
        if key.endswith("activation") and isinstance(value, str) and value not in _ACTIVATIONS:
            raise UnsafeModel(f"Expected a built-in activation. Received: {value!r}")
    if node.get("compile_config"):
        raise UnsafeModel(
            "A model inside of the model is compiled, and so names an optimizer. "
            "Load the inner one with compile=False, and save again"
        )
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
            f"code of the model's own; {_advice(kind, module)}"
        )


def _advice(kind: str, module: str) -> str:
    if module.startswith(("keras.ops", "keras.src.ops")):
        return (
            "write arithmetic on tensors as a layer, x / 255 as keras.layers.Rescaling(1 / 255), "
            "and save the model again"
        )
    if kind.endswith("DTypePolicy"):
        return "save the model as it was before it was quantized"
    return "Lambda layers and custom objects are refused"


def _text(node: dict[str, Any], key: str) -> str:
    value = node.get(key)
    return value if isinstance(value, str) else f"({type(value).__name__})"
