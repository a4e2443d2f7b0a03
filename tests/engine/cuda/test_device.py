"""What a GPU's driver is asked for order between streams, recorded in its place."""

import ctypes
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

driver = pytest.importorskip("cuda.bindings.driver")

from geolrm.engine.cuda import device as devices  # noqa: E402
from geolrm.engine.cuda import launch  # noqa: E402
from geolrm.engine.cuda.array import DeviceArray  # noqa: E402
from geolrm.engine.cuda.device import CudaDevice  # noqa: E402
from geolrm.engine.cuda.staging import Staging  # noqa: E402
from geolrm.engine.errors import GeoLRMError  # noqa: E402

OK = driver.CUresult.CUDA_SUCCESS
CAPTURING = driver.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED


@pytest.fixture
def device(monkeypatch):
    """One whose driver records."""
    made = object.__new__(CudaDevice)
    made._device, made.stream, made._event = SimpleNamespace(set_current=lambda: None), 7, None
    made.log, made.status = [], OK

    def record(name, *values):
        def call(*arguments):
            made.log.append((name, *arguments))
            return (made.status if name == "cuCtxRecordEvent" else OK, *values)

        monkeypatch.setattr(driver, name, call)

    record("cuEventCreate", "event")
    record("cuEventRecord")
    record("cuStreamWaitEvent")
    record("cuCtxGetCurrent", "context")
    record("cuCtxRecordEvent")
    return made


def test_another_stream_waits_by_an_event_that_is_made_once(device):
    device.order_before(1)
    device.order_before(9)
    device.order_before(7)  # its own
    assert device.log == [
        ("cuEventCreate", 2),  # without timing
        ("cuEventRecord", "event", 7), ("cuStreamWaitEvent", 1, "event", 0),
        ("cuEventRecord", "event", 7), ("cuStreamWaitEvent", 9, "event", 0),
    ]  # fmt: skip


def test_ours_waits_for_all_of_the_context(device):
    assert device._wait_for_others()
    assert device.log[-2:] == [
        ("cuCtxRecordEvent", "context", "event"), ("cuStreamWaitEvent", 7, "event", 0)
    ]  # fmt: skip


def test_it_waits_another_time_while_something_captures(device):
    device.status = CAPTURING
    assert not device._wait_for_others()
    assert device.log[-1][0] == "cuCtxRecordEvent"
    device.status = driver.CUresult.CUDA_ERROR_INVALID_CONTEXT
    with pytest.raises(GeoLRMError, match="the GPU reports .*CUDA_ERROR_INVALID_CONTEXT"):
        device._wait_for_others()


NONE = driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_NONE
INVALIDATED = driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_INVALIDATED


class Builder:
    """Of ``cuda.core``: a capture that has been invalidated neither ends nor closes well."""

    def __init__(self, device, ends):
        self.device, self.ends = device, ends

    def begin_building(self, mode):
        self.device.capturing = INVALIDATED

    def end_building(self):
        if not self.ends:
            raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: invalidated\nsee the manual")
        self.device.capturing = NONE

    def complete(self):
        return SimpleNamespace(launch=lambda stream: self.device.log.append("replay"))

    def close(self):
        if not self.ends:
            raise RuntimeError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")


@pytest.fixture
def captures(device, monkeypatch):
    """What ends a capture of the stream."""

    def end(stream):
        device.log.append("end")
        device.capturing = NONE
        return (driver.CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, None)

    monkeypatch.setattr(driver, "cuStreamIsCapturing", lambda stream: (OK, device.capturing))
    monkeypatch.setattr(driver, "cuStreamEndCapture", end)
    device.capturing = NONE

    def builders(*, end):
        device._stream = SimpleNamespace(create_graph_builder=lambda: Builder(device, end))

    return builders


def test_a_capture_is_replayed(device, captures):
    captures(end=True)
    replay = device.capture(lambda: device.log.append("queued"))
    replay()
    assert device.log == ["queued", "replay"]


def test_a_capture_that_fails_leaves_the_stream_as_it_was(device, captures):
    captures(end=False)
    with pytest.warns(UserWarning, match=r"captured \(CUDA_ERROR_STREAM_CAPTURE_INV"):
        assert device.capture(lambda: device.log.append("queued")) is None
    assert device.log == ["queued", "end"] and device.capturing == NONE


def test_an_interrupted_capture_ends(device, captures):
    captures(end=False)

    def interrupt():
        raise KeyboardInterrupt

    with warnings.catch_warnings(action="error"), pytest.raises(KeyboardInterrupt):
        device.capture(interrupt)
    assert device.log == ["end"] and device.capturing == NONE


def test_a_fault_is_one_sentence(device):
    def sync():
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal address\nwas encountered")

    device._stream = SimpleNamespace(sync=sync)
    with pytest.raises(GeoLRMError) as caught:
        device.synchronize()
    assert str(caught.value) == (
        "the GPU reports CUDA_ERROR_ILLEGAL_ADDRESS: an illegal address; nothing was "
        "reconstructed: start the program again, since a GPU's fault ends all that a program does "
        "there"
    )


class Pinned:
    """In place of pinned memory."""

    def __init__(self):
        self.sizes = []

    def allocate(self, size):
        self.sizes.append(size)
        memory = ctypes.create_string_buffer(size)
        return SimpleNamespace(
            handle=ctypes.addressof(memory), size=size, memory=memory, close=lambda: None
        )


def test_downloads_pass_through_memory_that_is_pinned_once(device, monkeypatch):
    pinned = Pinned()
    device._staging, device._landing, device._downloads = Staging(pinned), Staging(pinned), []
    device._written = []
    device._stream = SimpleNamespace(sync=lambda: None)

    def copy(target, source, size, stream):
        ctypes.memmove(target, source, size)
        return (OK,)

    monkeypatch.setattr(driver, "cuMemcpyAsync", copy)
    for size in (2, 300_000, 400_000, 7):  # it doubles what has been needed at once
        arrays = [np.arange(k, k + size, dtype=np.float32) for k in (1, 2)]
        outs = [np.zeros(size, np.float32) for _ in arrays]
        for array, out in zip(arrays, outs, strict=True):
            place = DeviceArray(array.ctypes.data, array.shape, "float32", device)
            device.download(place, out)
        device.synchronize()
        for array, out in zip(arrays, outs, strict=True):
            np.testing.assert_array_equal(out, array)
    assert pinned.sizes[0] == 1 << 20 and len(pinned.sizes) == 3


def test_no_driver_is_one_sentence(monkeypatch):
    core = pytest.importorskip("cuda.core")

    def fail(*index):
        raise RuntimeError("Failed to dlopen libcuda.so.1\nmore")

    monkeypatch.setattr(launch, "require_packages", lambda: None)
    monkeypatch.setattr(core, "Device", fail)
    with pytest.raises(GeoLRMError, match=r"no CUDA device can be used \(Failed to dlopen libcuda"):
        launch.Launcher()


def test_memory_that_the_driver_keeps_is_free(device, monkeypatch):
    attributes = SimpleNamespace(reserved_mem_current=700, used_mem_current=300)
    device._device.memory_resource = SimpleNamespace(attributes=attributes)
    device._pool = SimpleNamespace(idle_bytes=20)
    monkeypatch.setattr(driver, "cuMemGetInfo", lambda: (OK, 1000, 5000))
    assert device.free_bytes() == 1420


def test_a_process_has_one_device_a_gpu(monkeypatch):
    monkeypatch.setattr(devices, "CudaDevice", lambda index: SimpleNamespace(index=index))
    monkeypatch.setattr(devices, "present_gpu", lambda index: None)
    monkeypatch.setattr(devices, "_opened", {})
    assert devices.open_device(0) is devices.open_device(0)
    assert devices.open_device(1).index == 1


def test_a_kernel_that_cannot_start_while_capturing_says_so(device, captures):
    captures(end=False)

    def run(stream, calls):
        raise RuntimeError("CUDA_ERROR_NOT_PERMITTED: no\nmore")

    device._launcher = SimpleNamespace(run=run)
    with pytest.raises(GeoLRMError, match=r"the GPU reports CUDA_ERROR_NOT_PERMITTED: no; nothing"):
        device.launch([])
    with pytest.warns(
        UserWarning, match=r"cannot be captured \(CUDA_ERROR_NOT_PERMITTED: no\); it"
    ):
        assert device.capture(lambda: device.launch([])) is None
