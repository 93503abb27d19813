"""Several processes publish at once, or are killed at any moment: nothing is lost, nothing torn."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paper_bundles import paper_store, publish

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PUBLISH = """
import sys
from pathlib import Path
from paper_bundles import paper_store, publish
store = paper_store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    publish(store, weights=f"{sys.argv[2]}-{number}".encode())
"""


def start(root: Path, who: str, times: int) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), str(HERE)])
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISH, str(root), who, str(times)],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def release(process: subprocess.Popen[str]) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout.readline() == "ready\n"


def test_concurrent_publishers_in_processes_lose_nothing(tmp_path):
    processes = [start(tmp_path, f"p{number}", 5) for number in range(4)]
    for process in processes:
        wait_until_ready(process)
    for process in processes:
        release(process)
    for process in processes:
        process.communicate()

    store = paper_store(tmp_path)
    bundles = [store.bundle("paper", version) for version in store.versions("paper")]
    for bundle in bundles:
        bundle.verify_files()
    weights = [(bundle.folder / "model.keras").read_text() for bundle in bundles]
    current = store.current("paper")
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert store.versions("paper") == list(range(1, 21))
    assert sorted(weights) == sorted(f"p{p}-{n}" for p in range(4) for n in range(5))
    assert (current.version, current.previous) == (20, 19)


@pytest.mark.slow
def test_publishers_killed_at_random_moments_never_tear_the_store(tmp_path):
    moments = random.Random(0)  # noqa: S311  # not for secrets
    store = paper_store(tmp_path)
    publish(store, weights=b"first")

    for attempt in range(60):
        process = start(tmp_path, f"k{attempt}", 1000)
        wait_until_ready(process)
        release(process)
        time.sleep(moments.uniform(0, 0.2))  # any moment is as good as another
        process.send_signal(signal.SIGKILL)
        process.communicate()

        current = store.current("paper")
        assert current.version in store.versions("paper")
        for version in store.versions("paper")[-3:]:
            store.bundle("paper", version).verify_files()

    last = publish(store, weights=b"last")
    assert last.manifest.version == store.versions("paper")[-1]
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith((".draft-", ".tmp-"))]
