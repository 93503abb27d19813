"""What docs/operations.md promises: exit codes, beside those of test_service.py, and commands."""

import shutil
import signal
import socket
from pathlib import Path

import httpx
import pytest
from documented_commands import block, run
from service_process import PATIENCE_S, running

from model_store.store.store import ModelStore


def test_a_port_that_is_taken_ends_with_3(shared_tiny_store: ModelStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(shared_tiny_store.root, port=port) as service:
            code = service.wait_until_ended()

    assert code == 3
    assert "already in use" in "".join(service.lines)


def test_ctrl_c_ends_with_130(shared_tiny_store: ModelStore) -> None:
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        service.process.send_signal(signal.SIGINT)
        code = service.wait_until_ended()

    assert code == 130
    assert "Traceback" not in "".join(service.lines)


def run_block(containing: str, folder: Path) -> str:
    return run(block("docs/operations.md", containing).replace("digits", "tiny"), folder)


@pytest.mark.slow
def test_a_copied_store_verifies(shared_tiny_store: ModelStore, tmp_path: Path) -> None:
    shutil.copytree(shared_tiny_store.root, tmp_path / "models")
    run_block("cp -a", tmp_path)

    assert (tmp_path / "backup" / "tiny" / "current.json").exists()


def test_key_and_digest_for_prometheus_fit_together(
    shared_tiny_store: ModelStore, tmp_path: Path
) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    digests = tmp_path / "digests"
    digests.write_text(run_block("sha256sum", tmp_path))
    key = (tmp_path / "deploy/monitoring/keys/halftone").read_text().strip()
    with running(shared_tiny_store.root, api_keys_file=digests) as service:
        url = f"{service.url}/metrics"
        without = httpx.get(url, timeout=PATIENCE_S).status_code
        allowed = httpx.get(
            url, headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE_S
        ).status_code

    assert (without, allowed) == (401, 200)
