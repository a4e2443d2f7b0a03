"""What a figure was measured on, and how fast it was at that moment."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from geolrm.engine.system.extras import installed_version

PACKAGES = ("geolrm", "numpy", "onnxruntime", "torch")


def cpu_name() -> str:
    """Return the model name of the processor."""
    info = Path("/proc/cpuinfo")  # Linux only; elsewhere Python's own, coarser name
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of the packages that take part, where installed."""
    found = {package: installed_version(package) for package in PACKAGES}
    return {package: version for package, version in found.items() if version is not None}


def clock(call: Callable[[], object], repeats: int) -> list[float]:
    """Time each of several calls, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def best_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Return the seconds of the fastest of several calls, after one to warm up."""
    call()
    return min(clock(call, repeats))


def matmul_gflops(size: int = 2048) -> float:
    """Measure NumPy's float32 matrix product, best of several: how quiet the machine is."""
    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    return 2 * size**3 / best_seconds(lambda: a @ a) / 1e9


def describe() -> dict[str, object]:
    """Machine, versions and present speed."""
    from geolrm import _C

    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "isa": _C.best_isa(),
        "numpy_sgemm_gflops": round(matmul_gflops(), 1),
        "python": platform.python_version(),
        **versions(),
    }
