"""Timings of a warm GPU from idle to idle, its memory, and its clocks meanwhile."""

import contextlib
import platform
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geolrm.bench.gpu.report import NotRun
from geolrm.engine.cuda.device import Device
from geolrm.engine.cuda.faults import check
from geolrm.engine.system.extras import installed_version
from geolrm.engine.system.present_gpu import driver_cuda_version, present_gpu

PACKAGES = (
    "geolrm", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "onnxruntime", "onnxruntime-gpu",
    "tensorrt", "tensorrt-rtx", "torch", "triton", "gsplat", "onnx", "numpy",
)  # fmt: skip
CLOCKS = "clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw,driver_version"
PERCENTILES = (10, 50, 90, 99)
SECONDS_BETWEEN_READINGS = 0.001


def milliseconds(
    call: Callable[[], object],
    wait: Callable[[], None],
    *,
    repeats: int = 30,
    inner: int = 1,
    warm_up: int = 3,
    seconds: float = 20.0,
) -> dict[str, float]:
    """Time a call by the host's clock, from idle to idle over ``inner`` calls; percentiles.

    At least three are measured, and no more once ``seconds`` have passed.
    """
    for _ in range(warm_up):
        call()
    wait()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < repeats and (len(times) < 3 or time.perf_counter() < end):
        start = time.perf_counter()
        for _ in range(inner):
            call()
        wait()
        times.append(1e3 * (time.perf_counter() - start) / inner)
    return percentiles(times)


def captured(device: Device, enqueue: Callable[[], None]) -> Callable[[], None]:
    """Capture what ``enqueue`` queues; the result queues it again.

    Raises:
        NotRun: It cannot be captured, and would be timed with the host's work.
    """
    replay = device.capture(enqueue)
    if replay is None:
        raise NotRun("the GPU's work cannot be captured; the log says why")
    return replay


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return percentiles of times in ms, as columns of a table."""
    found = np.percentile(times, PERCENTILES)
    return {f"p{p} ms": float(t) for p, t in zip(PERCENTILES, found, strict=True)}


@dataclass
class Peak:
    """The largest reading so far."""

    bytes: int = 0


@contextlib.contextmanager
def peak_memory(read: Callable[[], int]) -> Iterator[Peak]:
    """Watch the peak of what ``read`` says inside the block; another thread asks it."""
    peak, done = Peak(read()), threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_READINGS):
            peak.bytes = max(peak.bytes, read())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.bytes = max(peak.bytes, read())


def used_bytes() -> int:
    """Return the bytes of GPU 0 that are taken, by whatever process."""
    from cuda.bindings import driver  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without stubs
    from cuda.core import Device as CudaDevice  # pyright: ignore[reportAttributeAccessIssue]

    CudaDevice(0).set_current()  # of this thread
    free, total = check(driver.cuMemGetInfo())
    return int(total) - int(free)


def clocks() -> str:
    """Read clocks, temperature and power at this moment, as nvidia-smi tells them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown: no nvidia-smi"
    command = [tool, f"--query-gpu={CLOCKS}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: {error}"
    return done.stdout.strip() or "unknown"


def describe() -> dict[str, Any]:
    """Describe the GPU, its driver and the versions that take part."""
    gpu = present_gpu()
    found = {package: installed_version(package) for package in PACKAGES}
    versions = {package: version for package, version in found.items() if version is not None}
    return {
        "gpu": gpu.name,
        "sm": gpu.sm,
        "multiprocessors": gpu.multiprocessors,
        "memory_gb": round(gpu.memory_bytes / 1e9, 1),
        "driver_cuda": ".".join(map(str, driver_cuda_version())),
        f"clocks before ({CLOCKS})": clocks(),
        "python": platform.python_version(),
        **versions,
    }
