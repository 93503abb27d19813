"""The training process of a large network ends when the command that started it does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from class_folders import write_classes

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120.0

# At the first epoch it prints the number of its training process, as the command would go on.
COMMAND = """
import multiprocessing, sys
import training.fit
from training.__main__ import app
from training.progress import Reporter

def say(self, text):
    if text.startswith("epoch"):
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)

if __name__ == "__main__":
    training.fit._LARGE_KERNEL = 0
    Reporter.say = say
    app(sys.argv[1:])
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_training_process_ends_with_the_command_that_started_it(tmp_path: Path) -> None:
    write_classes(tmp_path / "data", {"row": 40, "column": 40})
    (tmp_path / "command.py").write_text(COMMAND)
    sizes = ["--height", "12", "--width", "16", "--hidden", "32", "--epochs", "100000"]
    fit = ["fit", str(tmp_path / "data"), "--name", "stripes", *sizes, "--augmentation", "none"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HALFTONE_MODELS": str(tmp_path / "models"),
        "HALFTONE_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, str(tmp_path / "command.py"), *fit]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + PATIENCE_S
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)
