"""What docs/operations.md promises: exit codes, beside those of test_service.py, and commands."""

import shutil
import signal
import socket

import pytest
from documented_commands import block, run
from service_process import running


def test_a_port_that_is_taken_ends_with_3(shared_tiny_store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(shared_tiny_store.root, port=port) as service:
            code = service.wait_until_ended()

    assert code == 3
    assert "already in use" in "".join(service.lines)


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
