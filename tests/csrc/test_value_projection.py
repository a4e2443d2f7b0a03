"""The contract of ValueProjection, on each instruction set; a tolerance for each storage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm import _C


def head_major(features, weight, bias, heads):
    """The projection in float64: [V, h, L, e]."""
    values = features.astype(np.float64) @ weight.astype(np.float64).T + bias
    views, pixels, d = values.shape
    return values.reshape(views, pixels, heads, d // heads).transpose(0, 2, 1, 3)


def make_case(seed, views, pixels, channels, heads, head_dim):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((views, pixels, channels), dtype=np.float32)
    weight = rng.standard_normal((heads * head_dim, channels), dtype=np.float32)
    return features, weight, rng.standard_normal(heads * head_dim, dtype=np.float32)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    views=st.integers(1, 3),
    pixels=st.sampled_from([1, 5, 8, 70, 150]),
    channels=st.sampled_from([1, 3, 16, 37, 384]),
    heads=st.integers(1, 4),
    head_dim=st.sampled_from([1, 3, 6, 9, 12, 16, 24, 48, 50, 64, 100]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    dtype=st.sampled_from([np.float32, np.float16]),
    half_weight=st.booleans(),
)
def test_touched_rows_are_projected_and_others_left(
    isa, seed, views, pixels, channels, heads, head_dim, share, dtype, half_weight
):
    features, weight, bias = make_case(seed, views, pixels, channels, heads, head_dim)
    if half_weight:
        weight = weight.astype(np.float16)
    touched = (np.random.default_rng(seed).random((views, pixels)) < share).astype(np.uint8)
    truth = head_major(features, weight, bias, heads)
    project = _C.ValueProjection(weight, bias, heads)
    tolerance = 1e-5 if dtype == np.float32 else 2e-3
    out = np.full(truth.shape, 7, dtype)
    project(features, touched, out, 2, isa)
    read = np.broadcast_to(touched[:, None, :, None], out.shape) != 0
    assert (out[~read] == 7).all()
    np.testing.assert_allclose(
        out[read], truth[read], rtol=tolerance, atol=tolerance * (1 + channels**0.5)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_row_depends_on_nothing_but_itself(isa, dtype):
    features, weight, bias = make_case(1, 3, 401, 40, 3, 24)
    project = _C.ValueProjection(weight, bias, 3)
    dense = np.empty((3, 3, 401, 24), dtype)
    project(features, None, dense, 1, isa)
    touched = (np.random.default_rng(2).random((3, 401)) < 0.4).astype(np.uint8)
    sparse = dense.copy()
    sparse.transpose(0, 2, 1, 3)[touched != 0] = -1
    project(features, touched, sparse, 2, isa)
    np.testing.assert_array_equal(sparse, dense)
    alone = np.empty((1, 3, 401, 24), dtype)
    project(features[1:2], None, alone, 3, isa)
    np.testing.assert_array_equal(alone[0], dense[1])


def test_float16_rounds_to_nearest_even(isa):
    values = np.array(
        [
            1e-9,
            3e-8,
            6e-8,
            1e-6,
            6.1e-5,
            0.1,
            1 + 2**-11,
            1 + 3 * 2**-11,
            2049,
            65519,
            65520,
            -1e9,
            np.nan,
            np.inf,
        ],
        np.float32,
    )
    project = _C.ValueProjection(np.ones((1, 1), np.float32), np.zeros(1, np.float32), 1)
    out = np.empty((1, 1, len(values), 1), np.float16)
    project(values.reshape(1, -1, 1), None, out, 1, isa)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(out.ravel(), values.astype(np.float16))


def test_repr_prints_shapes():
    project = _C.ValueProjection(np.zeros((6, 5), np.float32), np.zeros(6, np.float32), 2)
    assert repr(project) == "ValueProjection(heads=2, head_dim=3, channels=5)"


def test_refusals_name_value_rule_and_remedy():
    features, weight, bias = make_case(3, 2, 5, 4, 2, 3)
    with pytest.raises(ValueError, match="num_heads is 4; it must divide d = 6"):
        _C.ValueProjection(weight, bias, 4)
    with pytest.raises(ValueError, match="num_heads is 0; it must be at least 1"):
        _C.ValueProjection(weight, bias, 0)
    with pytest.raises(ValueError, match=r"bias has shape \[5\]; it must be \[d\] = \[6\]"):
        _C.ValueProjection(weight, bias[:5].copy(), 2)
    with pytest.raises(TypeError, match=r"weight has dtype int64.*astype\(np.float32\)"):
        _C.ValueProjection(weight.astype(int), bias, 2)
    project = _C.ValueProjection(weight, bias, 2)
    out = np.empty((2, 2, 5, 3), np.float32)
    with pytest.raises(ValueError, match=r"features has shape .* = \[2, 5, 4\]"):
        project(features[..., :3].copy(), None, out)
    with pytest.raises(ValueError, match=r"touched has shape \[1, 5\]"):
        project(features, np.ones((1, 5), np.uint8), out)
    with pytest.raises(TypeError, match="touched has dtype bool; it must be uint8"):
        project(features, np.ones((2, 5), bool), out)
    with pytest.raises(ValueError, match=r"out has shape .* \[V, h, L, e\]"):
        project(features, None, out[:, :1].copy())
