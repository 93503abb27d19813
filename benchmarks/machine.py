"""What the machine can do at best, and how busy it was while others measured."""

import os
import platform
import re
import threading
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from model_store.cpu import available_cpus

_COPY_BYTES = 256 << 20  # per thread; far more than any cache
_LIBRARIES = ("fastapi", "keras", "numpy", "openvino", "pillow", "tensorflow", "uvicorn")


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
