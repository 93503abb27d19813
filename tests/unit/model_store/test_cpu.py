import os

import pytest

from model_store.cpu import available_cpus


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("content", "cpus"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("6400000 100000\n", 8),
        ("nonsense", 8),
        ("1 0\n", 8),
    ],
)
def test_quota_of_the_second_cgroup_version(tmp_path, content, cpus):
    (tmp_path / "cpu.max").write_text(content)

    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("300000", 3), ("-1", 8)])
def test_quota_of_the_first_cgroup_version(tmp_path, quota, cpus):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")

    assert available_cpus(tmp_path) == cpus


def test_without_cgroups_the_affinity_decides(tmp_path):
    assert available_cpus(tmp_path) == 8
