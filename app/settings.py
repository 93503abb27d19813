"""Every setting of the service: one frozen object, read from HALFTONE_* variables."""

import difflib
import os
import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import InvalidSetting
from model_store.calling import calling
from model_store.errors import InvalidLocation, InvalidName
from model_store.manifest import EngineName, check_name
from model_store.store.cached import DEFAULT_CACHE_BYTES
from model_store.store.location import is_bucket

PREFIX = "HALFTONE_"

# Read by the other rooms and by the tests; named here so that they are not taken for mistakes.
ELSEWHERE = frozenset({"HALFTONE_DATA"})

# What Kubernetes sets for services whose names begin with "halftone".
_SERVICE_LINK = re.compile(
    r"HALFTONE_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
    r"|HALFTONE_\w+_PORT"
)

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What the operator decides. Sizes are bytes, times seconds unless the name says ms."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    root_path: str | None = Field(
        None,
        description="Prefix that a proxy serves this under, as /vision; it may strip it or not.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        description="Proxies whose X-Forwarded-For and -Proto are believed: addresses or networks, "
        "separated by commas; * for any.",
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes; each has its own queue, weights are shared."
    )
    models: Path | str = Field(
        Path("models"), description="The model store: a folder, or a bucket as s3://bucket/prefix."
    )
    cache: Path | None = Field(
        None, description="Folder for copies of what a bucket holds. Unset: ~/.cache/halftone."
    )
    cache_bytes: int = Field(
        DEFAULT_CACHE_BYTES, ge=1, description="Most bytes of such copies; unused ones go first."
    )
    model: str | None = Field(
        None, description="The model /predict means. Unset: the only one, or the last promoted."
    )
    engine: Literal["auto", EngineName] = Field(
        "auto", description="Inference engine; auto takes the fastest whose probes pass here."
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads per engine. Unset: the CPU quota, or 1 if small."
    )
    decode_threads: int | None = Field(
        None, ge=1, le=1024, description="Threads that decode images. Unset: the CPU quota."
    )
    max_upload_bytes: int = Field(
        20_000_000, ge=1, description="Longest request body; more is answered 413."
    )
    max_bytes_in_flight: int = Field(
        200_000_000, ge=1, description="Bodies held at once, all requests; more is answered 503."
    )
    max_pixels: int = Field(
        50_000_000, ge=1, description="Most pixels an image's header may announce; more is 422."
    )
    max_images: int = Field(
        128, ge=1, le=10_000, description="Most images in one batch request; more is answered 413."
    )
    max_queue: int = Field(
        256, ge=1, le=100_000, description="Most preprocessed images that wait for one model."
    )
    deadline_ms: float = Field(
        2_000,
        gt=0,
        le=3_600_000,
        allow_inf_nan=False,
        description="From the complete upload of an image to its result. What would take longer "
        "is refused at once with 503; what waited longer gets 504.",
    )
    upload_seconds: Seconds = Field(30, description="From the headers to the last byte of a body.")
    header_seconds: Seconds = Field(10, description="From the connection to complete headers.")
    keep_alive_seconds: int = Field(
        75, ge=1, le=86_400, description="How long an idle connection is kept."
    )
    drain_seconds: float = Field(
        5,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="After SIGTERM: not ready, but still answering, for this long.",
    )
    grace_seconds: int = Field(
        20, ge=1, le=3_600, description="After draining: time for accepted requests to finish."
    )
    poll_seconds: Seconds = Field(2, description="How often the store is checked for new versions.")
    pinned_versions: int = Field(
        2, ge=1, le=100, description="Other versions kept open for /versions/… requests."
    )
    watchdog_seconds: Seconds = Field(
        30, description="Liveness fails when the engine makes no progress for this long."
    )
    api_keys_file: Path | None = Field(
        None, description="SHA-256 digests of API keys, one per line. Unset: no keys are asked for."
    )
    feedback: Path | None = Field(
        None, description="Folder where POST /feedback keeps corrected images. Unset: none is kept."
    )
    feedback_bytes: int = Field(
        1_000_000_000, ge=1, description="Most bytes in that folder; more is answered 507."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins that browsers may call from, separated by commas; * for any."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Readable lines, or one JSON object per line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message that is logged."
    )
    access_log: bool = Field(True, description="Whether every request is logged, as info.")

    @field_validator("port", mode="before")
    @classmethod
    def _is_no_link(cls, value: object) -> object:
        """Take what Kubernetes says of a service named halftone for no port of ours."""
        is_link = isinstance(value, str) and re.match(r"(tcp|udp|sctp)://", value)
        return cls.model_fields["port"].default if is_link else value

    @field_validator("models")
    @classmethod
    def _is_a_place(cls, value: Path | str) -> Path | str:
        try:
            return value if is_bucket(value) else Path(value)
        except InvalidLocation as error:
            raise ValueError(str(error)) from error

    @field_validator("cache", "feedback")
    @classmethod
    def _is_a_folder(cls, value: Path | None) -> Path | None:
        if value is not None and re.match(r"[a-z][a-z0-9+.-]*:/", str(value)):
            raise ValueError("expected a folder; only HALFTONE_MODELS may be a bucket")
        return value

    @field_validator("root_path")
    @classmethod
    def _is_a_prefix(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"(/[\w.~-]+)+", value, re.ASCII):
            raise ValueError("expected a path like /vision")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for proxy in value.split(","):
            if proxy.strip() != "*":
                ip_network(proxy.strip(), strict=False)
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(origin.strip() for origin in value.split(",") if origin.strip())

    @field_validator("model")
    @classmethod
    def _is_a_model_name(cls, value: str | None) -> str | None:
        try:
            return value if value is None else check_name(value)
        except InvalidName as error:
            raise ValueError(str(error)) from error


def load_settings() -> Settings:
    """Read the settings from the process's environment.

    Raises:
        InvalidSetting: a HALFTONE_* variable is unknown or has a bad value; one sentence.
    """
    refuse_unknown(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSetting(_sentence(error)) from error


def variable(field: str) -> str:
    """Return the environment variable of a field: `max_pixels` → HALFTONE_MAX_PIXELS."""
    return PREFIX + field.upper()


def refuse_unknown(environ: Iterable[str]) -> None:
    """Raise InvalidSetting if a HALFTONE_* variable names no setting."""
    known = {variable(field) for field in Settings.model_fields}
    for name in sorted(environ):
        if _SERVICE_LINK.fullmatch(name):
            continue
        if name.upper().startswith(PREFIX) and name.upper() not in known | ELSEWHERE:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"`{calling('app')} --help` lists them."
            raise InvalidSetting(f"{name} is not a setting of this service. {hint}")


def describe() -> str:
    """Return one paragraph per setting, for --help."""
    return "\n".join(_paragraph(name, field) for name, field in Settings.model_fields.items())


def _paragraph(name: str, field: Any) -> str:
    default = "unset" if field.default in (None, ()) else field.default
    return f"  {variable(name)}  [{default}]\n      {field.description}"


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = variable(str(first["loc"][0])) if first["loc"] else "The settings"
    message = first["msg"].removeprefix("Value error, ")
    # A URL may hold a password.
    received = re.sub(r"://.*", "://…", str(first["input"]), flags=re.DOTALL)
    return f"{name}: {message[:1].lower()}{message[1:]}. Received: {received!r}"
