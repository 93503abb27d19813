"""Several processes publish at once, or are killed at any moment: nothing is lost, nothing torn."""

import random
import signal
import time

import pytest
from paper_bundles import debris, paper_store, publish, serving
from publishers import release, start_publisher, weights_of


def test_concurrent_publishers_in_processes_lose_nothing(tmp_path):
    root = tmp_path / "models"
    processes = [start_publisher(root, tmp_path, f"p{number}", 5) for number in range(4)]
    for process in processes:
        release(process)
    for process in processes:
        process.communicate()

    store = paper_store(root)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert store.versions("paper") == list(range(1, 21))
    assert sorted(weights_of(store)) == sorted(f"p{p}-{n}" for p in range(4) for n in range(5))
    assert serving(store) == (20, 19)


@pytest.mark.slow
def test_publishers_killed_at_random_moments_never_tear_the_store(tmp_path):
    moments = random.Random(0)  # noqa: S311  # not for secrets
    store = paper_store(tmp_path)
    publish(store, weights=b"first")

    for attempt in range(60):
        process = start_publisher(tmp_path, tmp_path, f"k{attempt}", 1000)
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
    assert debris(tmp_path) == []
