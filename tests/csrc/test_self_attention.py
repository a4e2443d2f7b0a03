"""The contract of self_attention, on each instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm import _C


def truth(q, k, v, heads):
    """Attention in float64."""
    queries, d = q.shape
    q, k, v = (
        x.astype(np.float64).reshape(queries, heads, -1).transpose(1, 0, 2) for x in (q, k, v)
    )
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(d / heads)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights @ v).transpose(1, 0, 2).reshape(queries, d)


def make_case(seed, queries, heads, head_dim, scale=1.0):
    rng = np.random.default_rng(seed)
    q, k, v = rng.standard_normal((3, queries, heads * head_dim), dtype=np.float32)
    return q * np.float32(scale), k, v


def run(q, k, v, heads, threads=2, isa=""):
    out = np.full_like(q, np.nan)
    _C.self_attention(q, k, v, heads, out, threads, isa)
    return out


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    queries=st.sampled_from([1, 2, 7, 16, 47, 48, 49, 130, 300]),
    heads=st.integers(1, 3),
    head_dim=st.sampled_from([1, 3, 6, 8, 9, 16, 24, 48, 50, 64, 130]),
    scale=st.sampled_from([0.0, 1.0, 8.0]),
)
def test_agrees_with_float64(isa, seed, queries, heads, head_dim, scale):
    q, k, v = make_case(seed, queries, heads, head_dim, scale)
    expected = truth(q, k, v, heads)
    np.testing.assert_allclose(run(q, k, v, heads, isa=isa), expected, rtol=1e-4, atol=3e-5)


def test_scores_far_apart_stay_finite(isa):
    q, k, v = make_case(1, 200, 2, 16, 1000.0)
    k = np.sort(k, axis=0)  # the maximum keeps rising
    np.testing.assert_allclose(run(q, k, v, 2, isa=isa), truth(q, k, v, 2), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("queries", [1, 50, 600])
def test_result_does_not_depend_on_threads(isa, queries):
    q, k, v = make_case(2, queries, 3, 24)
    one = run(q, k, v, 3, 1, isa)
    np.testing.assert_array_equal(one, run(q, k, v, 3, 2, isa))
    np.testing.assert_array_equal(one, run(q, k, v, 3, 3, isa))


def test_equal_values_come_back(isa):
    q, k, v = make_case(3, 333, 2, 12)
    v[:] = 2.5
    np.testing.assert_allclose(run(q, k, v, 2, isa=isa), v, rtol=1e-5)


def test_no_tokens():
    empty = np.empty((0, 8), np.float32)
    assert run(empty, empty, empty, 2).shape == (0, 8)


def test_refusals_name_value_rule_and_remedy():
    q, k, v = make_case(4, 5, 2, 4)
    out = np.empty_like(q)
    with pytest.raises(ValueError, match="num_heads is 3; it must divide the width of q, 8"):
        _C.self_attention(q, k, v, 3, out)
    with pytest.raises(
        ValueError, match=r"k has shape \[4, 8\]; it must be \[N, h\*e\] = \[5, 8\]"
    ):
        _C.self_attention(q, k[:4], v, 2, out)
    with pytest.raises(TypeError, match="v has dtype float64; it must be float32"):
        _C.self_attention(q, k, v.astype(float), 2, out)
    with pytest.raises(ValueError, match="out is not C-contiguous"):
        _C.self_attention(q, k, v, 2, np.empty((8, 5), np.float32).T)
