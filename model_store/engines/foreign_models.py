"""Name models in other formats than Keras 3's, and the command that converts each, if any."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from model_store.errors import IncompatibleModel

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_KERAS_2_MODULE = re.compile(r"(tf_keras|keras(\.src)?\.engine)\b")
_HEAD_BYTES = 8
_SAVE = "Save the model where it was made: model.save('model.keras')"
_PYTORCH = (
    "a PyTorch model",
    "Its weights fit no Keras layers by themselves: build the network in Keras, copy them, and "
    "save it: model.save('model.keras')",
)


def refuse_foreign(path: Path) -> None:
    """Refuse what is no zip file, and what is one of PyTorch's.

    Raises:
        IncompatibleModel: the message says what it is and how to convert it.
        OSError: it cannot be read.
    """
    if path.is_dir():
        raise _refusal(path, *_folder(path))
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    found = _by_content(path, head) or _by_name(path)
    if found is not None:
        raise _refusal(path, *found)
    if not head.startswith(b"PK\x03\x04"):
        raise IncompatibleModel(
            f"Expected a .keras file, written by model.save('model.keras'). Received: {path.name}, "
            f"which begins with {head!r}"
        )


def refuse_keras_2(path: Path, nodes: list[dict[str, Any]]) -> None:
    """Refuse a configuration whose classes are Keras 2's, which Keras 3 does not know.

    Raises:
        IncompatibleModel: the message says how to convert it.
    """
    modules = [str(node.get("module")) for node in nodes]
    if any(_KERAS_2_MODULE.match(module) for module in modules):
        raise _refusal(path, "a model of Keras 2", _with_tf_keras(path))


def _refusal(path: Path, what: str, advice: str) -> IncompatibleModel:
    return IncompatibleModel(
        f"Expected a .keras file of Keras 3. Received: {path.name}, {what}. {advice}"
    )


def _folder(path: Path) -> tuple[str, str]:
    if (path / "keras_metadata.pb").is_file():
        return "a SavedModel folder of Keras 2", _with_tf_keras(path)
    if (path / "saved_model.pb").is_file():
        return "a SavedModel folder, which holds no layers", _SAVE
    return "a folder", "Give the file that model.save('model.keras') wrote"


def _by_content(path: Path, head: bytes) -> tuple[str, str] | None:
    if head == _HDF5_MAGIC and path.name.endswith(".weights.h5"):
        return "weights without layers", f"Load them into the model they are of. {_SAVE}"
    if head == _HDF5_MAGIC:
        return "an HDF5 file, which can carry code", _converted(path)
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model, which holds no layers", _SAVE
    return None


def _by_name(path: Path) -> tuple[str, str] | None:
    return {
        ".pt": _PYTORCH,
        ".pth": _PYTORCH,
        ".onnx": ("an ONNX model, which holds no Keras layers", _SAVE),
        ".pb": ("a part of a SavedModel", "Give the folder it is in, to read what to do with it"),
    }.get(path.suffix.lower())


def _converted(path: Path) -> str:
    program = f"import keras; {_load(path)}{_save(path)}"
    return f"Convert it where you trust it: python -c {shlex.quote(program)}"


def _with_tf_keras(path: Path) -> str:
    """Return how to go by way of HDF5, the one format that both write and read."""
    legacy = path.with_name(f"{path.stem}-keras2.h5")
    program = (
        f"import keras, tf_keras; tf_keras.models.load_model({_text(path)}, compile=False)"
        f".save({_text(legacy)}); {_load(legacy)}{_save(path)}"
    )
    install = "Convert it where you trust it: pip install tf-keras, then"
    return f"{install} python -c {shlex.quote(program)}"


def _load(path: Path) -> str:
    return f"keras.saving.load_model({_text(path)}, compile=False)"


def _save(path: Path) -> str:
    return f".save({_text(path.with_name(f'{path.stem}-keras3.keras'))})"


def _text(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)
