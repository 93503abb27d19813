"""Azurite, which speaks Azure's protocol of blobs."""

import base64
import hashlib
import hmac
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from email.utils import formatdate
from functools import cache
from pathlib import Path

import httpx
import pytest
from commands import ROOT, run
from object_server import BUCKET, PATIENCE_S, ObjectServer

_VERSION = "3.35.0"
_PROTOCOL = "2023-11-03"
_NO_REGISTRY = "E404|ENOTFOUND|ECONN|ETIMEDOUT|EAI_AGAIN|_CERT"
_INSTALL_S = 300
_FOLDER = ROOT / ".venv-azurite"
_ACCOUNT = "tester"
_KEY = base64.b64encode(b"nobody-reads-this").decode()


def azurite_program() -> Path:
    """Return the server's program, from a folder of its own; skip where there is none."""
    if missing := _why_missing():
        pytest.skip(missing)
    return _FOLDER / "node_modules" / ".bin" / "azurite-blob"


@cache  # tried once, as it takes long to fail
def _why_missing() -> str | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "azurite needs node and npm, which are not installed"
    options = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = ("npm", "install", "--prefix", _FOLDER, *options, f"azurite@{_VERSION}")
    try:
        done = run(*command, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:  # where it reaches nothing, npm goes on trying
        return f"npm did not install azurite within {_INSTALL_S} s"
    if done.returncode and re.search(_NO_REGISTRY, done.stderr):
        return f"azurite cannot be downloaded: {done.stderr[-300:]}"
    assert done.returncode == 0, done.stderr
    return None


@dataclass
class Azurite(ObjectServer):
    """Azurite, with an account of our own."""

    scheme = "az"

    def environment(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}/{_ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
        }

    def start(self) -> None:
        self.launch(
            *("env", f"AZURITE_ACCOUNTS={_ACCOUNT}:{_KEY}", azurite_program()),
            *("--blobHost", "127.0.0.1", "--blobPort", str(self.port)),
            *("--location", self.folder, "--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self.process.poll() is None, self.log()
            try:
                made = self._make_container()
            except httpx.HTTPError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.1)
            else:
                assert made.status_code in (httpx.codes.CREATED, httpx.codes.CONFLICT), made.text
                return

    def _make_container(self) -> httpx.Response:
        """Ask for it as the protocol's "Shared Key" wants it; the client of the store cannot."""
        date = formatdate(usegmt=True)
        path = f"/{_ACCOUNT}/{BUCKET}"
        said = f"x-ms-date:{date}\nx-ms-version:{_PROTOCOL}\n/{_ACCOUNT}{path}\nrestype:container"
        text = "PUT" + "\n" * 12 + said
        signature = hmac.digest(base64.b64decode(_KEY), text.encode(), hashlib.sha256)
        return httpx.put(
            f"http://127.0.0.1:{self.port}{path}?restype=container",
            headers={
                "x-ms-date": date,
                "x-ms-version": _PROTOCOL,
                "Authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(signature).decode()}",
            },
            timeout=5,
        )
