"""What a GPU's driver is asked for order between streams, recorded in its place."""

from types import SimpleNamespace

import pytest

driver = pytest.importorskip("cuda.bindings.driver")

from geolrm.engine.cuda.device import CudaDevice  # noqa: E402
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
