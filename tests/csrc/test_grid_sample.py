"""The contract of CUDA's GridSample: that of torch, emulated and on a GPU."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import grid_sample

from geolrm.engine.backends.cuda.kernels import GridSample
from geolrm.engine.errors import InputError

# Against torch in float64 over the inputs as they are stored.
TOLERANCE = {"float32": 1e-5, "float16": 1e-5 + 1e-3}


def run(device, kernel, values, grid):
    batch, channels = values.shape[:2]
    points = grid[0, ..., 0].size
    output = device.empty((batch, channels, points), values.dtype.name)
    placed = [device.upload(values), device.upload(grid)]
    device.launch(kernel.calls(*placed, output, shape=values.shape, points=points))
    return output.numpy().reshape(batch, channels, *grid.shape[1:-1])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    batch=st.integers(1, 3),
    channels=st.sampled_from([1, 3, 4, 9]),
    sides=st.lists(st.integers(1, 7), min_size=2, max_size=3),
    points=st.sampled_from([1, 5, 70]),
    padding=st.sampled_from(["zeros", "border"]),
    align_corners=st.booleans(),
    storage=st.sampled_from(["float32", "float16"]),
)
def test_agrees_with_torch(
    device, seed, batch, channels, sides, points, padding, align_corners, storage
):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((batch, channels, *sides)).astype(storage)
    inner = (points,) if len(sides) == 2 else (points, 1)
    grid = rng.uniform(-1.6, 1.6, (batch, *inner, 1, len(sides))).astype(np.float32)
    grid[rng.random(grid.shape) < 0.1] = 1.0  # right on an edge
    kernel = GridSample(storage, padding=padding, align_corners=align_corners)
    out = run(device, kernel, values, grid)
    expected = grid_sample(
        torch.from_numpy(values.astype(np.float64)),
        torch.from_numpy(grid.astype(np.float64)),
        padding_mode=padding,
        align_corners=align_corners,
    ).numpy()
    tolerance = TOLERANCE[storage]
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


def test_a_coordinate_that_is_not_finite_is_outside_or_at_the_border(device):
    values = np.array([[[[2.0, 3.0], [4.0, 5.0]]]], np.float32)
    grid = np.array([[[[np.nan, -1.0]], [[np.inf, -1.0]], [[-np.inf, 1.0]]]], np.float32)
    np.testing.assert_array_equal(run(device, GridSample(), values, grid).ravel(), [0, 0, 0])
    border = run(device, GridSample(padding="border"), values, grid).ravel()
    np.testing.assert_array_equal(border, [2, 3, 4])


def test_a_tap_without_weight_is_not_read(device):
    values = np.array([[[[1.0, np.nan]]]], np.float32)
    grid = np.array([[[[-1.0, 0.0]]]], np.float32)
    assert run(device, GridSample(align_corners=True), values, grid).ravel() == [1.0]


def test_refuses_what_it_does_not_know():
    with pytest.raises(
        InputError, match=r"padding is 'reflection'; it must be 'zeros' or 'border'"
    ):
        GridSample(padding="reflection")
    with pytest.raises(InputError, match=r"input has shape \['N', 2, 3\]; it must be \[N, C"):
        GridSample().calls(0, 0, 0, shape=(1, 2, 3), points=1)


@pytest.mark.parametrize("sides", [(13, 9), (5, 6, 7)])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_many_points_of_a_batch(device, sides, padding):
    rng = np.random.default_rng(2)
    data = rng.standard_normal((2, 4, *sides)).astype(np.float32)
    grid = rng.uniform(-1.4, 1.4, (2, *(1,) * (len(sides) - 1), 300, len(sides)))
    grid = grid.astype(np.float32)
    expected = grid_sample(
        torch.from_numpy(data), torch.from_numpy(grid), padding_mode=padding, align_corners=False
    )
    out = run(device, GridSample(padding=padding), data, grid)
    np.testing.assert_allclose(out, expected, atol=1e-4)
