import asyncio
import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest

from app import access_log
from app.access_log import AccessLog
from app.logs import Console, JsonLines, logging_config
from app.settings import Settings


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(stream: io.StringIO) -> Iterator[logging.Logger]:
    logger = logging.getLogger("halftone.test")
    logger.propagate = False
    logger.setLevel("DEBUG")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


HOSTILE = 'a\nb\r\n{"level": "error"}\x1b[31m\u2028\udc80"'


@pytest.mark.parametrize("text", [HOSTILE, "plain", ""])
def test_json_lines_are_one_object_each_whatever_a_client_sent(
    logger: logging.Logger, stream: io.StringIO, text: str
) -> None:
    logger.handlers[0].setFormatter(JsonLines())
    logger.info("%s", text.encode("utf-8", "replace").decode(), extra={"path": text, "status": 200})
    lines = stream.getvalue().split("\n")

    assert lines[1:] == [""]
    record = json.loads(lines[0])
    assert record["level"] == "info"
    assert record["status"] == 200
    assert record["logger"] == "halftone.test"


def test_json_lines_hold_exceptions(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.handlers[0].setFormatter(JsonLines())
    try:
        raise RuntimeError("why")
    except RuntimeError:
        logger.exception("failed")

    assert "RuntimeError: why" in json.loads(stream.getvalue())["exception"]


def test_console_lines_cannot_be_forged(logger: logging.Logger, stream: io.StringIO) -> None:
    logger.handlers[0].setFormatter(Console())
    logger.info("GET %s", "/x\n12:00:00 ERROR forged\x1b[31m")

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


async def test_requests_are_written_together_one_line_each() -> None:
    written: list[str] = []
    log = AccessLog("console", written.append)
    log.add("GET", "/x\n12:00:00 ERROR forged", 200, 12.345, "abc")
    log.add("POST", "/predict", 415, 1.0, "def")
    log.flush()
    log.flush()

    assert len(written) == 1
    assert written[0].count("\n") == 2
    assert written[0].endswith("POST /predict 415 1.0 ms [def]\n")


async def test_requests_as_json_hold_what_a_search_needs() -> None:
    written: list[str] = []
    log = AccessLog("json", written.append)
    log.add("GET", HOSTILE.encode("utf-8", "replace").decode(), 200, 12.3456, "abc")
    log.flush()
    record = json.loads(written[0])

    assert (record["method"], record["status"], record["duration_ms"]) == ("GET", 200, 12.346)
    assert record["request_id"] == "abc"


async def test_requests_are_written_soon_without_being_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log, "FLUSH_SECONDS", 0.0)
    written = asyncio.Event()
    AccessLog("console", lambda _: written.set()).add("GET", "/", 200, 1.0, "abc")

    await asyncio.wait_for(written.wait(), 20)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_configuration_is_one_that_logging_understands(log_format: str) -> None:
    config = logging_config(Settings(log_format=log_format, log_level="warning"))

    logging.config.dictConfigClass(config).configure_formatter(config["formatters"]["line"])
    assert config["root"]["level"] == "WARNING"
