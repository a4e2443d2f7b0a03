"""The native step of Adam against the same formula in NumPy, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm import _C

NUMBERS = {"first": 1 - 0.8, "second": 1 - 0.95, "square_bias": 1 - 0.95**3, "floor": 1e-3}


def arrays_of(shape, seed):
    rng = np.random.default_rng(seed)
    values, mean, square, gradient = rng.normal(size=(4, *shape)).astype(np.float32)
    return [values, mean, np.square(square), gradient]


def in_numpy(values, mean, square, gradient, rates, first, second, square_bias, floor):
    mean = mean + first * (gradient - mean)
    square = square + second * (gradient * gradient - square)
    scale = np.sqrt(square / np.float32(square_bias))
    rates = np.resize(rates, values.size).reshape(values.shape)
    return values - rates * mean / (scale + np.float32(floor)), mean, square


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 50),
    period=st.integers(1, 7),
    parts=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_it_is_numpys(count, period, parts, seed):
    arrays = arrays_of((count, period), seed)
    rates = np.random.default_rng(seed).uniform(size=period if parts else 1).astype(np.float32)
    expected = in_numpy(*arrays, rates, **NUMBERS)
    _C.step_adam(*arrays, rates, **NUMBERS, threads=1)
    for got, array in zip(arrays, expected, strict=False):
        np.testing.assert_array_equal(got, array)


def test_threads_never_change_it():
    first, *others = (arrays_of((150_001, 2), 1) for _ in range(4))
    rates = np.float32([0.1, 0.2])
    for arrays, threads in zip((first, *others), (1, 2, 5, 8), strict=True):
        _C.step_adam(*arrays, rates, **NUMBERS, threads=threads)
        for got, expected in zip(arrays, first, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({1: np.zeros(4, np.float32)}, ValueError, r"mean has shape \[4\]; it must be \[5\]"),
        ({3: np.zeros(5)}, TypeError, "gradient has dtype float64; it must be float32"),
        (
            {4: np.zeros(0, np.float32)},
            ValueError,
            "the number of rates is 0; it must be at least 1",
        ),
    ],
)
def test_errors(change, error, text):
    arrays = [np.zeros(5, np.float32) for _ in range(4)] + [np.ones(1, np.float32)]
    for at, array in change.items():
        arrays[at] = array
    with pytest.raises(error, match=text):
        _C.step_adam(*arrays, **NUMBERS)
