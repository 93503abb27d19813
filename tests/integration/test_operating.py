"""What docs/operations.md promises: exit codes, beside those of test_service.py, and commands."""

import shutil
import signal
import socket

import pytest
from documented_commands import block, run
from service_process import running


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken_ends_with_3_and_what_to_do(shared_tiny_store, workers):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(shared_tiny_store.root, port=port, workers=workers) as service:
            code = service.wait_until_ended()

    said = "".join(service.lines)
    assert code == 3
    assert "already in use" in said.lower()
    assert f"port {port}. HALFTONE_PORT or --port takes another port" in said


def test_ctrl_c_ends_with_130(shared_tiny_store):
    with running(shared_tiny_store.root) as service:
        service.wait_until_ready()
        service.process.send_signal(signal.SIGINT)
        code = service.wait_until_ended()

    assert code == 130
    assert "Traceback" not in "".join(service.lines)


@pytest.mark.slow
def test_a_copied_store_verifies(shared_tiny_store, tmp_path):
    shutil.copytree(shared_tiny_store.root, tmp_path / "models")
    run(block("docs/operations.md", "cp -a").replace("digits", "tiny"), tmp_path)

    assert (tmp_path / "backup" / "tiny" / "current.json").exists()
