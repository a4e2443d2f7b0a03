"""Bytes become images on the device as they do on the host."""

import numpy as np
import pytest

from csrc.cuda import emulation
from geolrm.engine.backends.cuda.images import image_calls


@pytest.mark.parametrize("values", [1, 3, 4, 1023, 1024, 5 * 3 * 14 * 14 + 2])
def test_every_byte_is_divided_to_the_bit(values):
    pixels = (np.arange(values + 8) * 37 % 256).astype(np.uint8)
    images = np.full(values + 8, -7, np.float32)
    place = images[-images.ctypes.data % 16 // 4 :]  # aligned as the device's memory is
    calls = image_calls(pixels.ctypes.data, place.ctypes.data, values=values)
    emulation.run(calls)
    np.testing.assert_array_equal(place[:values], pixels[:values] / np.float32(255))
    assert (place[values : values + 4] == -7).all() and len(calls) == 1
