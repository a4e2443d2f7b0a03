"""The contract of query_order: a permutation along a Z-order curve, equal places by index."""

import numpy as np
import pytest
from csrc.implementations import shuffle
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm import _C
from geolrm.engine.backends.cuda.spatial_order import order_calls, workspace_bytes
from geolrm.engine.cuda.launch import pointer


def codes(coordinates, bits):
    """Of rows of coordinates, in [0, 1] the last slowest, by strings of bits."""
    with np.errstate(invalid="ignore"):
        places = np.nan_to_num(np.clip(coordinates * 2**bits, 0, 2**bits - 1), nan=0)
    words = [[f"{int(v):0{bits}b}" for v in row[::-1]] for row in places]
    return [int("".join(sum(zip(*row, strict=True), ())), 2) for row in words]


def awkward(rng, shape):
    """Float32 in and around [0, 1], with ties and what is no number."""
    values = rng.uniform(-0.05, 1.05, shape).astype(np.float32)
    values[..., rng.random(shape[-2]) < 0.3, :] = values[..., :1, :]
    values[..., rng.random(shape[-2]) < 0.05, 0] = np.nan
    return values


@settings(max_examples=25, deadline=None)
@given(
    queries=st.sampled_from([0, 1, 2, 255, 1000]),
    views=st.sampled_from([1, 2, 3, 7]),
    seed=st.integers(0, 2**31),
)
def test_the_cpu_orders_by_places_in_two_views(queries, views, seed):
    points = awkward(np.random.default_rng(seed), (views, queries or 1, 2))[:, :queries].copy()
    depth = points[views // 3, :, 0] if views > 2 else np.zeros(queries, np.float32)
    seen = np.stack([points[0, :, 0], points[0, :, 1], depth], 1)
    order = _C.query_order(points)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(order, np.argsort(codes(seen, 7), kind="stable"))


@settings(max_examples=25, deadline=None)
@given(queries=st.sampled_from([1, 2, 255, 257, 5000]), seed=st.integers(0, 2**31))
def test_cuda_orders_by_places_in_space(device, queries, seed):
    positions = (awkward(np.random.default_rng(seed), (queries, 3)) - np.float32(0.5)).copy()
    shuffle(device, seed % 1000)
    placed, out = device.upload(positions), device.empty((queries,), "int32")
    workspace = device.empty((workspace_bytes(queries),), "uint8")
    addresses = (pointer(array) for array in (placed, out, workspace))
    device.launch(order_calls(*addresses, queries=queries))
    order = out.numpy()
    seen = (positions + np.float32(0.5))[:, ::-1]
    np.testing.assert_array_equal(order, np.argsort(codes(seen, 8), kind="stable"))


def test_refuses_what_is_no_reference():
    with pytest.raises(TypeError, match="reference_points has dtype float64; it must be float32"):
        _C.query_order(np.zeros((2, 3, 2)))
    with pytest.raises(ValueError, match=r"reference_points has shape \[2, 3, 3\]; it must be"):
        _C.query_order(np.zeros((2, 3, 3), np.float32))
    with pytest.raises(ValueError, match="the number of views.* is 0; it must be at least 1"):
        _C.query_order(np.zeros((0, 3, 2), np.float32))
