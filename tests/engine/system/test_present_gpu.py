"""The driver's answers, and its refusals, through a library in its place."""

import pytest

from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system import present_gpu as module
from geolrm.engine.system.present_gpu import (
    PresentGpu,
    driver_cuda_version,
    free_memory,
    present_gpu,
)

FREE, TOTAL = 5 << 30, 24 << 30


class Driver:
    """As ``libcuda`` answers; contexts that are pushed and retained are counted."""

    def __init__(self, *, init=0, count=2, version=13010, memory_status=0):
        self.init, self.count, self.version = init, count, version
        self.memory_status, self.retained, self.pushed = memory_status, 0, 0

    def cuInit(self, flags):
        return self.init

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDriverGetVersion(self, version):
        version._obj.value = self.version
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = 40 + index
        return 0

    def cuDeviceGetName(self, name, size, device):
        name.value = f"RTX {device.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory, device):
        memory._obj.value = TOTAL
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = {16: 128, 75: 8, 76: 9}[attribute]
        return 0

    def cuDevicePrimaryCtxRetain(self, context, device):
        self.retained += 1
        context._obj.value = 0xC0
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device):
        self.retained -= 1
        return 0

    def cuCtxPushCurrent_v2(self, context):
        assert context.value == 0xC0
        self.pushed += 1
        return 0

    def cuCtxPopCurrent_v2(self, context):
        self.pushed -= 1
        return 0

    def cuMemGetInfo_v2(self, free, total):
        free._obj.value, total._obj.value = FREE, TOTAL
        return self.memory_status


@pytest.fixture
def use(monkeypatch):
    """Install a driver; answers of another are forgotten before and after."""

    def install(driver):
        monkeypatch.setattr(module, "_driver", lambda: driver)
        present_gpu.cache_clear()
        driver_cuda_version.cache_clear()
        return driver

    yield install
    present_gpu.cache_clear()
    driver_cuda_version.cache_clear()


def test_a_gpu_is_described(use):
    use(Driver())
    assert present_gpu(1) == PresentGpu("RTX 41", "sm_89", 128, TOTAL)
    assert driver_cuda_version() == (13, 1)


@pytest.mark.parametrize(
    ("driver", "index", "message"),
    [
        (None, 0, "no NVIDIA driver was found"),
        (Driver(init=100), 0, "the NVIDIA driver has no GPU"),
        (Driver(count=0), 0, "the NVIDIA driver has no GPU"),
        (Driver(init=803), 0, "the NVIDIA driver does not start (CUDA error 803)"),
        (Driver(count=1), 1, "there is no GPU 1: the NVIDIA driver has 1 GPU, counted from 0"),
        (Driver(), 2, "there is no GPU 2: the NVIDIA driver has 2 GPUs, counted from 0"),
    ],
)
def test_what_is_missing(use, driver, index, message):
    use(driver)
    with pytest.raises(GeoLRMError) as caught:
        present_gpu(index)
    assert str(caught.value) == message
    assert driver is not None or driver_cuda_version() == (0, 0)


def test_free_memory_leaves_no_context_behind(use):
    driver = use(Driver())
    assert free_memory(0) == FREE
    assert (driver.retained, driver.pushed) == (0, 0)
    driver = use(Driver(memory_status=2))
    with pytest.raises(GeoLRMError, match=r"the NVIDIA driver does not answer \(CUDA error 2\)"):
        free_memory(0)
    assert (driver.retained, driver.pushed) == (0, 0)
