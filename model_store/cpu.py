"""How many CPUs this process may really use: the cgroup's quota, not the host's core count."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Return the smaller of the scheduler's affinity and the cgroup's CPU quota, at least 1.

    A quota of 1.5 CPUs counts as 2: one thread too many waits a little, one too few idles always.
    """
    quota = _quota_v2(cgroup / "cpu.max") or _quota_v1(cgroup / "cpu")
    cores = usable_cores()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def usable_cores() -> int:
    """Return how many cores the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota_v2(path: Path) -> float | None:
    """Parse `cpu.max`: "150000 100000" is 1.5 CPUs, "max 100000" is no limit."""
    try:
        quota, period = path.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
