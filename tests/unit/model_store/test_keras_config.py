import builtins
from typing import Any

import pytest
from keras_files import layer, network

from model_store.engines.keras_config import check_config
from model_store.errors import UnsafeModel


def test_the_notebooks_layers_are_allowed():
    check_config(
        network(
            layer("Activation", activation="relu"),
            layer("Dropout", rate=0.2, seed=None, noise_shape=None),
            layer(
                "Dense",
                units=3,
                activation={
                    "module": "builtins",
                    "class_name": "function",
                    "config": "relu",
                    "registered_name": "relu",
                },
                kernel_initializer=layer("GlorotUniform", "keras.initializers", seed=None),
                kernel_regularizer=layer("L2", "keras.regularizers", l2=0.01),
                dtype=layer("DTypePolicy", "keras", name="float32"),
            ),
        )
    )


@pytest.mark.parametrize(
    "evil",
    [
        layer("Lambda", function={"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}),
        layer("TFSMLayer", filepath="/tmp/evil"),  # noqa: S108  # a name, nothing is opened
        layer("TorchModuleWrapper", module="gASV"),
        layer("StringLookup", vocabulary="/etc/passwd"),
        layer("TextVectorization", vocabulary="/etc/passwd"),
        layer("IndexLookup"),
        layer("Pipeline", layers=[layer("Lambda")]),
        layer("Bidirectional", layer=layer("Custom", "my_package")),
        layer("JaxLayer", call_fn={"class_name": "__lambda__", "config": {}}),
        layer("LSTM", recurrent_activation="package>activation"),
        layer("Custom", "my_package"),
        layer("Dense", "evil.layers"),
        layer("Dense", "keras.src.layers.core.dense"),
        layer("get_file", "keras.utils", origin="http://example.org/x"),
        layer("load_model", "keras.models"),
        layer("call", "subprocess"),
        layer("Dense") | {"registered_name": "package>Dense"},
        layer("Dense") | {"module": None},
        layer("Dense") | {"module": ["keras.layers"]},
        layer("Dense", activation="os.system"),
        layer("Dense", activation="package>activation"),
        layer("Dense", activation={"class_name": "__lambda__", "config": {}}),
        layer("Dense", kernel_initializer=layer("Custom", "evil")),
        layer("Dense", dtype=layer("QuantizedDTypePolicy", "keras.dtype_policies")),
        {"class_name": "function", "config": "system", "module": "builtins"},
        {"class_name": "function", "config": "relu", "module": "os"},
        {"class_name": "function", "config": {"relu": 1}, "module": "builtins"},
        {"class_name": ["Dense"], "module": "keras.layers", "config": {}},
        {"class_name": "__typespec__", "module": "tensorflow", "spec_name": "x", "config": []},
        {"class_name": "__tensor__", "config": {"value": [0] * 9, "dtype": "float32"}},
        {"class_name": "__numpy__", "config": {}},
        {"class_name": "__slice__", "config": {}},
    ],
    ids=lambda evil: f"{evil.get('module')}.{evil['class_name']}",
)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_what_is_not_a_listed_builtin_is_refused(evil, nested):
    config = network(layer("Sequential", "keras", layers=[evil])) if nested else network(evil)

    with pytest.raises(UnsafeModel):
        check_config(config)


@pytest.mark.parametrize("name", [name for name in dir(builtins) if not name.startswith("_")])
def test_no_python_builtin_passes_as_an_activation(name):
    with pytest.raises(UnsafeModel):
        check_config(network(layer("Activation", activation=name)))


def test_only_a_model_can_stand_at_the_top():
    with pytest.raises(UnsafeModel, match="Expected a Keras model"):
        check_config(layer("Dense", units=1))


def test_deep_nesting_is_refused():
    inner: Any = layer("Flatten")
    for _ in range(100):
        inner = layer("Sequential", "keras", layers=[inner])

    with pytest.raises(UnsafeModel, match="nested deeper"):
        check_config(network(inner))


def test_a_compiled_model_inside_of_the_model_says_what_to_do():
    inner = layer("Sequential", "keras", layers=[]) | {"compile_config": {"loss": "mse"}}

    with pytest.raises(UnsafeModel, match="compile=False"):
        check_config(network(inner))
