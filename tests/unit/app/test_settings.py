import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import InvalidSetting
from app.settings import PREFIX, Settings, describe, load_settings, variable


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_defaults_listen_on_the_loopback_address():
    settings = load_settings()

    assert (settings.host, settings.port, settings.models) == ("127.0.0.1", 8000, Path("models"))


def test_variables_are_read(monkeypatch):
    monkeypatch.setenv("HALFTONE_PORT", "9000")
    monkeypatch.setenv("HALFTONE_CORS_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("HALFTONE_MODEL", "")
    settings = load_settings()

    assert settings.port == 9000
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.model is None


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", ["HALFTONE_FEEDBACK", "HALFTONE_CACHE"])
def test_a_bucket_is_no_folder(monkeypatch, name):
    monkeypatch.setenv(name, "s3://bucket/prefix")

    with pytest.raises(InvalidSetting, match=f"{name}: expected a folder"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HALFTONE_PORT", "eighty"),
        ("HALFTONE_PORT", "70000"),
        ("HALFTONE_DEADLINE_MS", "0"),
        ("HALFTONE_DEADLINE_MS", "nan"),
        ("HALFTONE_ENGINE", "magic"),
        ("HALFTONE_MODEL", "../up"),
        ("HALFTONE_WORKERS", "0"),
        ("HALFTONE_LOG_FORMAT", "xml"),
        ("HALFTONE_ROOT_PATH", "vision"),
        ("HALFTONE_ROOT_PATH", "/vision/"),
        ("HALFTONE_TRUSTED_PROXIES", "127.0.0.1,proxy"),
    ],
)
def test_bad_value_is_one_sentence_that_names_the_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidSetting) as refusal:
        load_settings()
    assert str(refusal.value).startswith(f"{name}: ")
    assert repr(value) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_unknown_variable_is_refused_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("HALFTONE_MAX_UPLOAD_BITES", "1")

    with pytest.raises(InvalidSetting, match="Did you mean HALFTONE_MAX_UPLOAD_BYTES"):
        load_settings()


def test_what_kubernetes_says_of_services_is_no_setting(monkeypatch):
    """A Service named halftone, and others named halftone-…, put these into every container."""
    for service in ("HALFTONE", "HALFTONE_MAX_PIXELS", "HALFTONE_2"):
        monkeypatch.setenv(f"{service}_SERVICE_HOST", "10.0.0.11")
        monkeypatch.setenv(f"{service}_SERVICE_PORT", "8000")
        monkeypatch.setenv(f"{service}_SERVICE_PORT_HTTP", "8000")
        monkeypatch.setenv(f"{service}_PORT", "tcp://10.0.0.11:8000")
        monkeypatch.setenv(f"{service}_PORT_8000_TCP", "tcp://10.0.0.11:8000")
        monkeypatch.setenv(f"{service}_PORT_8000_TCP_PROTO", "tcp")
        monkeypatch.setenv(f"{service}_PORT_8000_TCP_PORT", "8000")
        monkeypatch.setenv(f"{service}_PORT_8000_TCP_ADDR", "10.0.0.11")

    assert load_settings() == Settings.model_construct()


def test_other_rooms_variables_are_no_mistake(monkeypatch):
    monkeypatch.setenv("HALFTONE_DATA", "/data")

    assert load_settings().port == 8000


def test_help_lists_every_setting_with_a_description():
    text = describe()

    for field, info in Settings.model_fields.items():
        assert variable(field) in text
        assert info.description
        assert info.description in text
