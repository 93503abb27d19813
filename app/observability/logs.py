"""Log lines for people or for machines; one line per event whatever a client sent."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from app.settings import Settings

# What every LogRecord has; anything else came in as `extra` and belongs on the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

_access = logging.getLogger("halftone.access")


def log_request(
    client: str,
    method: str,
    path: str,
    status: int,
    duration_ms: float,
    request_id: str,
    **model: object,
) -> None:
    """Write the line of one request that was answered, as info.

    Args:
        client: its address, as trusted proxies report it; "-" where there is none.
        method: as the client sent it.
        path: without the query, which may hold anything.
        status: HTTP status; 499 where the client has gone.
        duration_ms: from the request's headers to the end of its answer.
        request_id: the one that the answer carries.
        model: `model` and `version` of what answered, if a model did.
    """
    who = f" {model['model']}/{model['version']}" if model else ""
    _access.info(
        "%s %s %s %d%s %.1f ms [%s]",
        *(client, method, path, status, who, duration_ms, request_id),
        extra={
            "request_id": request_id,
            "client": client,
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": round(duration_ms, 3),
            **model,
        },
    )


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
