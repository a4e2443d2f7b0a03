"""Synchronised, warm timings, and what the GPU was doing meanwhile."""

import importlib.metadata
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from geolrm.engine.present_gpu import driver_cuda_version, present_gpu

PACKAGES = (
    "geolrm", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "onnxruntime-gpu", "tensorrt",
    "tensorrt-rtx", "torch", "gsplat", "numpy",
)  # fmt: skip
CLOCKS = "clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw,driver_version"


def milliseconds(
    call: Callable[[], object], wait: Callable[[], None], *, repeats: int = 30, inner: int = 1
) -> dict[str, float]:
    """Percentiles of one call: the host's clock from idle to idle, over ``inner`` calls."""
    for _ in range(3):
        call()
    wait()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            call()
        wait()
        times.append(1e3 * (time.perf_counter() - start) / inner)
    p10, p50, p90 = np.percentile(times, (10, 50, 90))
    return {"p10 ms": float(p10), "p50 ms": float(p50), "p90 ms": float(p90)}


def clocks() -> str:
    """Clocks, temperature and power at this moment, as nvidia-smi tells them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown: no nvidia-smi"
    command = [tool, f"--query-gpu={CLOCKS}", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def describe() -> dict[str, Any]:
    """The GPU, its driver and the versions that take part."""
    gpu = present_gpu()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "gpu": gpu.name,
        "sm": gpu.sm,
        "memory_gb": round(gpu.memory_bytes / 1e9, 1),
        "driver_cuda": ".".join(map(str, driver_cuda_version())),
        f"clocks before ({CLOCKS})": clocks(),
        "python": platform.python_version(),
        **versions,
    }
