"""Fixtures that more than one folder of tests uses."""

import os
import shutil
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from hypothesis import HealthCheck, settings
from tiny_models import publish_tiny
from two_versions import TwoVersions, make_two_versions

from model_store.store.store import ModelStore

# Keras 3.15 with NumPy 2; nothing of ours can avoid it.
KERAS_WARNING = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", KERAS_WARNING)
    # Who is started in the background is told to ignore Ctrl-C, and so would be all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What an example takes says more about the machine, and what else it does, than about the code.
    settings.register_profile(
        "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _engines_are_hardly_measured() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model_store.making.exporting._MEASURING_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def shared_tiny_store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """A store with the model "tiny", version 1: 12 x 10 pixels, 3 labels. Only to be read."""
    _need_tensorflow()
    store = ModelStore(tmp_path_factory.mktemp("shared") / "models")
    publish_tiny(store, "tiny", seed=0)
    return store


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> TwoVersions:
    """Two versions of the model "tiny", and images. Only promoting is allowed."""
    _need_tensorflow()
    return make_two_versions(tmp_path_factory.mktemp("two"))


def _need_tensorflow() -> None:
    if find_spec("tensorflow") is None:
        pytest.skip("building a bundle needs TensorFlow")


@pytest.fixture
def tiny_store(shared_tiny_store: ModelStore, tmp_path: Path) -> ModelStore:
    """A copy of `shared_tiny_store`, to be changed at will."""
    shutil.copytree(shared_tiny_store.root, tmp_path / "models")
    return ModelStore(tmp_path / "models")
