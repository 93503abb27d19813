"""Durations: wall time for latency, CPU time for what something costs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call, in milliseconds. CPU time adds up over threads."""

    wall_ms: float  # median
    cpu_ms: float  # mean


def measure(call: Callable[[], object], seconds: float, least: int = 3) -> Cost:
    """Call something again and again for `seconds`, at least `least` times, after one warm-up."""
    call()
    walls: list[float] = []
    cpu_start, end = time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end or len(walls) < least:
        start = time.perf_counter()
        call()
        walls.append(1000 * (time.perf_counter() - start))
    cpu_ms = 1000 * (time.process_time() - cpu_start) / len(walls)
    return Cost(float(np.median(walls)), cpu_ms)


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return "p50_ms", "p99_ms" and "max_ms"; NaN of nothing."""
    if not len(milliseconds):
        return {"p50_ms": float("nan"), "p99_ms": float("nan"), "max_ms": float("nan")}
    p50, p99, largest = np.percentile(milliseconds, (50, 99, 100))
    return {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(largest)}
