from types import SimpleNamespace

import numpy as np
import pytest

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer


@pytest.mark.parametrize(("amount", "parts"), [(0, 0), (1, 1), (7, 1), (8, 2), (14, 2), (15, 3)])
def test_parts_that_cover_an_amount(amount, parts):
    assert ceil_div(amount, 7) == parts


def test_addresses_of_arrays_buffers_and_nothing():
    interface = SimpleNamespace(__cuda_array_interface__={"data": (4096, False)})
    buffer = SimpleNamespace(handle=np.uint64(512))
    ours = SimpleNamespace(address=256, __cuda_array_interface__={"data": (1, False)})
    assert [pointer(a) for a in (None, 77, interface, buffer, ours)] == [0, 77, 4096, 512, 256]


def test_numbers_are_of_32_bits():
    assert [type(number) for number in integers(1, -2)] == [np.int32] * 2
    with pytest.raises(OverflowError):
        integers(2**31)


def test_a_call_says_its_kernel_and_geometry():
    call = Call(Source("splat_sort"), "count_keys", Launch((3, 2, 1), (256, 1, 1)), ())
    assert repr(call) == "Call(count_keys, grid (3, 2, 1), block (256, 1, 1))"
