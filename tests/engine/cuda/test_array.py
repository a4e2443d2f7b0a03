"""Arrays that other libraries read in place: what they get, when, and for how long."""

import gc

import numpy as np
import pytest
import torch
from doubles.device import DeviceDouble, view

from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.launch import pointer
from geolrm.engine.cuda.pool import Pool

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def device():
    return DeviceDouble()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int32", "uint8"])
@pytest.mark.parametrize("read", [np.from_dlpack, torch.from_dlpack])
def test_dlpack_gives_the_very_memory(device, dtype, read):
    array = device.upload(VALUES.astype(dtype))
    taken = read(array[1:3])
    device.synchronize()
    assert tuple(taken.shape) == (2, 4) and str(taken.dtype).removeprefix("torch.") == dtype
    np.testing.assert_array_equal(np.asarray(taken), VALUES[1:3])
    view(array)[2, 3] = 99
    assert taken[1, 3] == 99


def test_dlpack_carries_bfloat16_and_empty_arrays(device):
    bits = np.array([0x3F80, 0xC000], np.uint16).view(np.float16)  # 1 and -2
    array = device.upload(bits)
    array = DeviceArray(array.address, array.shape, "bfloat16", device, array.owner)
    taken = torch.from_dlpack(array)
    device.synchronize()
    assert taken.dtype == torch.bfloat16 and taken.tolist() == [1.0, -2.0]
    assert not hasattr(array, "__cuda_array_interface__")
    assert np.from_dlpack(device.empty((0, 3), "float32")).shape == (0, 3)


@pytest.mark.parametrize(("stream", "handle"), [(None, 1), (1, 1), (2, 2), (0x77, 0x77)])
def test_the_consumers_stream_waits_for_ours(device, stream, handle):
    array = device.upload(VALUES)
    array.__dlpack__(stream=stream)
    assert device.log[-1] == ("order_before", handle)
    assert not np.array_equal(view(array), VALUES)  # nothing has run yet
    device.other(handle).run(1)
    np.testing.assert_array_equal(view(array), VALUES)


def test_a_consumer_may_see_to_the_order_itself_and_zero_is_no_stream(device):
    array = device.upload(VALUES)
    array.__dlpack__(stream=-1)
    assert device.count("order_before") == 0
    for stream in (0, -2):
        with pytest.raises(BufferError, match=f"stream is {stream}; it must be -1, or the handle"):
            array.__dlpack__(stream=stream)


def test_a_copy_is_the_consumers_own(device):
    array = device.upload(VALUES)
    taken = np.from_dlpack(array, copy=True)
    device.synchronize()
    view(array)[...] = 0
    np.testing.assert_array_equal(taken, VALUES)


def test_it_is_copied_to_the_cpu_where_it_is_wanted_there(device):
    device.dlpack_device = (2, 3)
    array = device.upload(VALUES)
    assert array.__dlpack_device__() == (2, 3)
    np.testing.assert_array_equal(np.from_dlpack(array, device="cpu"), VALUES)
    assert not array.owner.shared
    with pytest.raises(BufferError, match=r"DeviceArray\(\[3, 4\], float32\) is on DLPack device"):
        array.__dlpack__(dl_device=(1, 0), copy=False)
    with pytest.raises(BufferError, match=r"is on DLPack device \(2, 3\); it is given there"):
        array.__dlpack__(dl_device=(2, 0))


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_a_capsule_that_nobody_takes_lets_go(device, version):
    array = device.upload(VALUES)
    capsule = array.__dlpack__(max_version=version)
    assert ("dltensor_versioned" if version else '"dltensor"') in repr(capsule)
    address = array.address
    del array
    other = device.empty(VALUES.shape, "float32")
    assert other.address != address  # the capsule keeps it
    del capsule
    gc.collect()
    assert device.empty(VALUES.shape, "float32").address == address


@pytest.mark.parametrize("how", ["dlpack", "interface"])
def test_memory_is_lent_again_only_behind_what_its_reader_has_queued(device, how):
    array = device.upload(VALUES)
    address, seen = array.address, []
    taken = np.from_dlpack(array) if how == "dlpack" else array.__cuda_array_interface__
    if how == "interface":  # finished by now, for readers that do not look at the stream
        assert (taken["stream"], taken["data"]) == (None, (address, False))
        np.testing.assert_array_equal(view(array), VALUES)
    raw = view(array)  # as the reader's kernel knows it, after it has dropped the tensor
    device.order_before(5)
    device.other(5).add(lambda: seen.append(raw.copy()))
    del array, taken
    again = device.upload(np.zeros_like(VALUES))
    assert again.address == address and "wait for others" in device.log
    device.synchronize()
    np.testing.assert_array_equal(seen[0], VALUES)
    np.testing.assert_array_equal(view(again), 0)


def test_memory_that_nobody_else_saw_needs_no_wait(device):
    array = device.upload(VALUES)
    address = array.address
    assert pointer(array) == address and pointer(array[1:]) == address + 16
    array.numpy()
    del array
    assert device.empty(VALUES.shape, "float32").address == address
    assert "wait for others" not in device.log


def test_a_pool_keeps_shared_memory_until_it_can_wait():
    may, addresses = [], iter((1000, 2000, 3000))
    pool = Pool(lambda size: (next(addresses), None), lambda: bool(may))
    loan = pool.take(1)
    loan.shared = True
    del loan
    second = pool.take(1)  # a capture is under way, say
    assert second.address == 2000 and pool.idle_bytes == 0
    may.append(True)
    assert pool.take(1).address == 1000
