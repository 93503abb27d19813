"""What the machine is, what it can do at best, and how long a call takes on it."""

import os
import platform
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from model_store.cpu import available_cpus

_COPY_BYTES = 256 << 20  # per thread; far more than any cache
_LIBRARIES = ("fastapi", "keras", "numpy", "openvino", "pillow", "tensorflow", "uvicorn")


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


def describe() -> dict[str, object]:
    """Return processor, cores, memory, library versions and the load average."""
    return {
        "processor": _processor(),
        "cpus": available_cpus(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "load_average": os.getloadavg()[0],
    }


def memory_bandwidth_gb_s(repeats: int = 3) -> float:
    """Return bytes read and written per second by large copies, one thread per CPU, in GB/s."""
    arrays = [np.ones(_COPY_BYTES, np.uint8) for _ in range(available_cpus())]
    copies = [np.empty_like(array) for array in arrays]
    best = min(_copy_all(arrays, copies) for _ in range(repeats + 1))
    return 2 * _COPY_BYTES * len(arrays) / best / 1e9


def _copy_all(arrays: list[np.ndarray], copies: list[np.ndarray]) -> float:
    threads = [
        threading.Thread(target=np.copyto, args=(copy, array))
        for array, copy in zip(arrays, copies, strict=True)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def _processor() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    name = re.search(r"model name\s*: (.*)", info)
    flags = [flag for flag in ("avx2", "avx512_vnni", "avx512_bf16", "amx_int8") if flag in info]
    return " ".join([name[1] if name else platform.machine(), *flags])
