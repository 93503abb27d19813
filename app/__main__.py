"""python -m app: uvicorn with the project's settings."""

import os
import signal
import sys
from collections.abc import Sequence

import uvicorn

from app.errors import InvalidSetting
from app.feedback import FeedbackFolder
from app.http.api_keys import read_digests
from app.http.server import ServerConfig
from app.observability.logs import logging_config
from app.settings import Settings, describe, load_settings
from app.supervisor import Supervisor

HELP = """\
usage: python -m app [--help]

Serve the models of a store over HTTP. Environment variables decide everything:

{settings}

Examples:
  python -m app
  HALFTONE_PORT=9000 HALFTONE_MODELS=/srv/models python -m app
  curl -F file=@image.jpg http://127.0.0.1:8000/predict
"""


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal says stop; return the exit code."""
    if arguments:
        return _explain(arguments)
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


def server_config(settings: Settings) -> ServerConfig:
    """Return how uvicorn is to run the service."""
    return ServerConfig(
        "app.main:app_from_environment",
        factory=True,
        header_seconds=settings.header_seconds,
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


def _serve(settings: Settings) -> int:
    config = server_config(settings)
    if settings.workers > 1:
        Supervisor(config, [config.bind_socket()]).run()
        return 0
    server = uvicorn.Server(config)
    # By itself asyncio would listen at :: for IPv6 alone.
    server.run([config.bind_socket()] if ":" in settings.host else None)
    return 0 if server.started else 3


def _explain(arguments: Sequence[str]) -> int:
    if arguments[0] in ("-h", "--help"):
        return _print_help()
    print(  # noqa: T201  # there is no log yet
        f"python -m app takes no arguments. Received: {arguments[0]!r}. Try --help.",
        file=sys.stderr,
    )
    return 2


def _print_help() -> int:
    try:
        print(HELP.format(settings=describe()), flush=True)  # noqa: T201  # what was asked for
    except BrokenPipeError:  # whoever read has seen enough; Python flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
