"""Log lines for people or for machines; one line per event whatever a client sent."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.settings import Settings

# What every LogRecord has; anything else came in as `extra` and belongs on the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

_access = logging.getLogger("halftone.access")


_ANSWERED = "%(client)s %(method)s %(path)s %(status)d %(duration_ms).1f ms [%(request_id)s]"
_ANSWERED_BY_MODEL = _ANSWERED.replace("%(status)d", "%(status)d %(model)s/%(version)s")


def log_request(request: Mapping[str, object]) -> None:
    """Write the line of one request that was answered, as info.

    Args:
        request: its `request_id`, `client`, `method`, `path` without the query, which may hold
            anything, `status`, `duration_ms`; where a model answered, `model` and `version`.
    """
    text = _ANSWERED_BY_MODEL if "model" in request else _ANSWERED
    _access.info(text, request, extra=request)


class JsonLines(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; `extra` members stand beside the fixed ones."""
        members: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        members |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members, default=repr, separators=(",", ":"))


class Console(logging.Formatter):
    """Readable lines; control characters in them are escaped, so that no client can forge one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # the base's name
        """Return one line."""
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


def logging_config(settings: Settings) -> dict[str, Any]:
    """Return a `logging.config` dictionary; everything goes to standard error."""
    kind = JsonLines if settings.log_format == "json" else Console
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{kind.__module__}.{kind.__qualname__}"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {_access.name: {"level": "NOTSET" if settings.access_log else "WARNING"}},
        "root": {"handlers": ["stderr"], "level": settings.log_level.upper()},
    }
