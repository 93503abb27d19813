"""python -m app: uvicorn with the project's settings."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import uvicorn

from app.errors import InvalidSetting
from app.feedback import FeedbackFolder
from app.http.api_keys import read_digests
from app.http.server import DeadlineProtocol
from app.observability.logs import logging_config
from app.settings import Settings, describe, load_settings, variable
from app.supervisor import Supervisor
from model_store.calling import calling

HELP = """\
usage: {call} [--host ADDRESS] [--port PORT] [--models DIR] [--model NAME]

Serve the models of a store over HTTP. Environment variables decide everything; the options stand
for four of them, and are stronger:

{settings}

Examples:
  {call}
  {call} --port 9000 --models /srv/models
  HALFTONE_WORKERS=2 {call}
  curl -F file=@image.jpg http://127.0.0.1:8000/predict
"""
_OPTIONS = ("host", "port", "models", "model")
_NOT_STARTED = 3  # uvicorn's, when it cannot listen; it has logged the system's reason

logger = logging.getLogger("halftone")


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal says stop; return the exit code."""
    given = _parser().parse_args(arguments)
    if given.help:
        return _print_help()
    # Worker processes read the environment too.
    os.environ.update(
        {variable(name): value for name in _OPTIONS if (value := getattr(given, name)) is not None}
    )
    try:
        settings = load_settings()
        if settings.api_keys_file is not None:
            read_digests(settings.api_keys_file)
        if settings.feedback is not None:
            FeedbackFolder(settings.feedback, settings.feedback_bytes)
    except InvalidSetting as error:
        print(error, file=sys.stderr)  # noqa: T201  # there is no log yet
        return 2
    # uvicorn raises the caught signal again when it is done; doing as told is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return _serve(settings)
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        if end.code == _NOT_STARTED:
            logger.error(
                "Cannot listen at %s, port %d. HALFTONE_PORT or --port takes another port, "
                "HALFTONE_HOST or --host another address",
                settings.host,
                settings.port,
            )
        raise


def _serve(settings: Settings) -> int:
    config = uvicorn.Config(
        "app.main:app_from_environment",
        factory=True,
        http=partial(DeadlineProtocol, header_seconds=settings.header_seconds),  # type: ignore[arg-type]  # it is called, no more
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        ws="none",
        lifespan="on",
        access_log=False,  # ours is written by the envelope
        log_config=logging_config(settings),
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.grace_seconds,
        forwarded_allow_ips=settings.trusted_proxies,
    )
    if settings.workers > 1:
        Supervisor(config, [config.bind_socket()]).run()
        return 0
    server = uvicorn.Server(config)
    # By itself asyncio would listen at :: for IPv6 alone.
    server.run([config.bind_socket()] if ":" in settings.host else None)
    return 0 if server.started else _NOT_STARTED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one sentence."""
        self.exit(2, f"{self.prog}: {message}. Try --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(calling("app"), add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    for name in _OPTIONS:
        parser.add_argument(f"--{name}")
    return parser


def _print_help() -> int:
    try:
        text = HELP.format(call=calling("app"), settings=describe())
        print(text, flush=True)  # noqa: T201  # what was asked for
    except BrokenPipeError:  # whoever read has seen enough; Python flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
