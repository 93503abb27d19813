import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest

from app.observability.logs import Console, JsonLines, log_request, logging_config
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
def test_json_lines_are_one_object_each_whatever_a_client_sent(logger, stream, text):
    logger.handlers[0].setFormatter(JsonLines())
    logger.info("%s", text.encode("utf-8", "replace").decode(), extra={"path": text, "status": 200})
    lines = stream.getvalue().split("\n")

    assert lines[1:] == [""]
    record = json.loads(lines[0])
    assert record["level"] == "info"
    assert record["status"] == 200
    assert record["logger"] == "halftone.test"


def test_json_lines_hold_exceptions(logger, stream):
    logger.handlers[0].setFormatter(JsonLines())
    try:
        raise RuntimeError("why")
    except RuntimeError:
        logger.exception("failed")

    assert "RuntimeError: why" in json.loads(stream.getvalue())["exception"]


def test_console_lines_cannot_be_forged(logger, stream):
    logger.handlers[0].setFormatter(Console())
    logger.info("GET %s", "/x\n12:00:00 ERROR forged\x1b[31m")

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.fixture
def access(stream: io.StringIO) -> Iterator[logging.Handler]:
    access = logging.getLogger("halftone.access")
    handler = logging.StreamHandler(stream)
    access.addHandler(handler)
    access.setLevel("INFO")
    yield handler
    access.setLevel("NOTSET")
    access.removeHandler(handler)


REQUEST = {
    "request_id": "abc",
    "client": "10.0.0.7",
    "method": "POST",
    "path": HOSTILE,
    "status": 200,
    "duration_ms": 12.346,
}


def test_a_request_is_one_line_that_says_what_answered(access, stream):
    access.setFormatter(Console())
    log_request({**REQUEST, "model": "digits", "version": 3})
    other = {"request_id": "def", "client": "-", "method": "GET", "path": "/docs"}
    log_request({**REQUEST, **other, "duration_ms": 1.0})

    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert lines[0].endswith(" 200 digits/3 12.3 ms [abc]")
    assert lines[1].endswith("INFO    - GET /docs 200 1.0 ms [def]")


def test_a_request_as_json_holds_what_a_search_needs(access, stream):
    access.setFormatter(JsonLines())
    log_request({**REQUEST, "model": "digits", "version": 3})
    record = json.loads(stream.getvalue())

    assert record["logger"] == "halftone.access"
    said = {**REQUEST, "model": "digits", "version": 3}
    assert {key: record[key] for key in said} == said


@pytest.mark.parametrize(
    ("settings", "is_logged"),
    [
        (Settings(), True),
        (Settings(access_log=False), False),
        (Settings(log_level="warning"), False),
    ],
)
def test_requests_are_logged_unless_a_setting_says_no(settings, is_logged):
    config = logging_config(settings)
    levels = [config["loggers"]["halftone.access"]["level"], config["root"]["level"]]
    effective = next(level for level in levels if level != "NOTSET")

    assert (logging.getLevelNamesMapping()[effective] <= logging.INFO) == is_logged


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_configuration_is_one_that_logging_understands(log_format):
    config = logging_config(Settings(log_format=log_format, log_level="warning"))

    logging.config.dictConfigClass(config).configure_formatter(config["formatters"]["line"])
    assert config["root"]["level"] == "WARNING"
