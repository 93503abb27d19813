import os

import pytest

from model_store.cpu import available_cpus


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def second(content: str) -> dict[str, str]:
    return {"cpu.max": content}


def first(quota: str) -> dict[str, str]:
    return {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        (second("max 100000\n"), 8),
        (second("200000 100000\n"), 2),
        (second("150000 100000\n"), 2),
        (second("10000 100000\n"), 1),
        (second("6400000 100000\n"), 8),
        (second("nonsense"), 8),
        (second("1 0\n"), 8),
        (first("300000"), 3),
        (first("-1"), 8),
        ({}, 8),
    ],
)
def test_quotas_of_both_cgroup_versions_bound_the_affinity(tmp_path, files, cpus):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    assert available_cpus(tmp_path) == cpus
