"""The GPU of this machine, as its driver describes it; no package is needed to ask."""

import ctypes
import functools
import os
import sys
from dataclasses import dataclass

from geolrm.engine.errors import GeoLRMError

# Attributes of cuDeviceGetAttribute, from cuda.h.
MULTIPROCESSOR_COUNT, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


@dataclass(frozen=True, slots=True)
class PresentGpu:
    """A GPU, by what a built TensorRT engine asks of it."""

    name: str
    sm: str  # "sm_89"
    multiprocessors: int
    memory_bytes: int


@functools.cache
def present_gpu(index: int = 0) -> PresentGpu:
    """Describe a GPU by its number; 0 is the first that CUDA would use.

    Raises:
        GeoLRMError: There is no driver, or it has no such GPU; the message is half a sentence that
            says which, for others to complete.
    """
    driver = _driver()
    if driver is None:
        raise GeoLRMError("no NVIDIA driver was found")
    status = driver.cuInit(0)
    count = ctypes.c_int()
    if status == 0:
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status == NO_DEVICE or (status == 0 and count.value == 0):
        raise GeoLRMError("the NVIDIA driver has no GPU")
    if status:
        raise GeoLRMError(f"the NVIDIA driver does not start (CUDA error {status})")
    if index >= count.value:
        has = "1 GPU" if count.value == 1 else f"{count.value} GPUs"
        raise GeoLRMError(f"there is no GPU {index}: the NVIDIA driver has {has}, counted from 0")
    device, value, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    _check(driver.cuDeviceGet(ctypes.byref(device), index))
    name = ctypes.create_string_buffer(128)
    _check(driver.cuDeviceGetName(name, len(name), device))
    _check(driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device))
    values = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR, MULTIPROCESSOR_COUNT):
        _check(driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
        values.append(value.value)
    major, minor, multiprocessors = values
    text = name.value.decode(errors="replace")
    return PresentGpu(text, f"sm_{major}{minor}", multiprocessors, memory.value)


def free_memory(index: int = 0) -> int:
    """Return the bytes that are free now on a GPU that :func:`present_gpu` has found.

    Raises:
        GeoLRMError: The driver does not say.
    """
    driver = _driver()
    assert driver is not None, "present_gpu has found it"
    device, context, old = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _check(driver.cuDeviceGet(ctypes.byref(device), index))
    _check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
    try:
        _check(driver.cuCtxPushCurrent_v2(context))
        status = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        _check(driver.cuCtxPopCurrent_v2(ctypes.byref(old)))
        _check(status)
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
    return free.value


@functools.cache
def driver_cuda_version() -> tuple[int, int]:
    """Return the newest CUDA that the driver supports; (0, 0) without a driver."""
    driver, version = _driver(), ctypes.c_int()
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)):
        return 0, 0
    return version.value // 1000, version.value % 1000 // 10


def _driver() -> ctypes.CDLL | None:
    if os.name == "nt":
        names = ["nvcuda.dll"]
    else:
        names = [] if sys.platform == "darwin" else ["libcuda.so.1", "libcuda.so"]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _check(status: int) -> None:
    if status:
        raise GeoLRMError(f"the NVIDIA driver does not answer (CUDA error {status})")
