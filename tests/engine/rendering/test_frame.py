"""Cameras on their way to the kernels."""

import numpy as np
import pytest

from geolrm import Cameras, InputError
from geolrm.engine.rendering.frame import Frame, to_opencv
from geolrm.engine.rendering.options import RenderOptions


def test_a_frame_holds_what_the_kernels_take():
    cameras, options = Cameras.orbit([0, 90], 10, 1.5, 40), RenderOptions(near=0.2)
    frame = Frame.of(cameras, (np.int64(40), 30), options)
    w2c, intrinsics = to_opencv(cameras.c2w, cameras.intrinsics, (40, 30))
    np.testing.assert_array_equal(frame.w2c, w2c)
    np.testing.assert_array_equal(frame.intrinsics, intrinsics)
    assert len(frame) == 2 and frame.size == (40, 30) and type(frame.size[0]) is int
    assert frame.parameters is options.parameters


def test_kernels_get_doubles_whatever_is_given():
    frame = Frame(np.eye(4, dtype=np.float32)[None], np.eye(3, dtype=np.float32)[None], (8, 8))
    assert frame.w2c.dtype == frame.intrinsics.dtype == np.float64


@pytest.mark.parametrize("size", [8, (8,), (8.5, 8), (0, 8), (8, 1 << 20)])
def test_sizes_that_are_none(size):
    with pytest.raises(InputError, match="size is|image side is"):
        Frame(np.eye(4)[None], np.eye(3)[None], size)
