"""The contract of self_attention on GPUs: emulated, and on a GPU."""

import numpy as np
import pytest
from csrc.implementations import shuffle
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm.engine.backends.cuda.self_attention import SelfAttention

HALF = 2.0**-11  # of float16: a value is off by at most this part of it


def truth(q, k, v, heads):
    """Attention in float64 over what is stored, and for each value the largest one averaged."""
    queries, d = q.shape
    q, k, v = (
        x.astype(np.float64).reshape(queries, heads, -1).transpose(1, 0, 2) for x in (q, k, v)
    )
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(d / heads)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return ((weights @ values).transpose(1, 0, 2).reshape(queries, d) for values in (v, np.abs(v)))


def run(device, q, k, v, heads):
    out = device.empty(q.shape, "float16")
    kernel = SelfAttention(heads, q.shape[1] // heads)
    placed = [device.upload(array) for array in (q, k, v)]
    device.launch(kernel.calls(*placed, out, queries=len(q)))
    return out.numpy()


def make_case(seed, queries, heads, head_dim, scale=1.0):
    q, k, v = np.random.default_rng(seed).standard_normal((3, queries, heads * head_dim))
    return (q * scale).astype(np.float16), k.astype(np.float16), v.astype(np.float16)


def check(found, q, k, v, heads):
    """Weights are rounded to float16 before they weigh values, and the average after."""
    expected, magnitude = truth(q, k, v, heads)
    error = np.abs(found.astype(np.float64) - expected)
    assert (error <= HALF * (np.abs(expected) + 1.5 * magnitude) + 1e-6).all()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    queries=st.sampled_from([1, 2, 7, 63, 64, 65, 128, 129, 200]),
    heads=st.integers(1, 3),
    head_dim=st.sampled_from([24, 48]),
    scale=st.sampled_from([0.0, 1.0, 8.0]),
)
def test_agrees_with_float64(device, seed, queries, heads, head_dim, scale):
    shuffle(device, seed)
    q, k, v = make_case(seed, queries, heads, head_dim, scale)
    check(run(device, q, k, v, heads), q, k, v, heads)


@pytest.mark.parametrize("head_dim", [24, 48])
def test_scores_far_apart_stay_finite(device, head_dim):
    q, k, v = make_case(1, 150, 1, head_dim, 100.0)
    k = np.sort(k, axis=0)  # the maximum keeps rising
    check(run(device, q, k, v, 1), q, k, v, 1)


@pytest.mark.parametrize("head_dim", [24, 48])
def test_every_key_and_channel_has_its_place(device, head_dim):
    """A query that agrees with one key alone gets the value of that key, channel for channel."""
    count = 130
    q = np.zeros((count, head_dim), np.float16)
    rng = np.random.default_rng(2)
    k = rng.choice([-6, 6], (count, head_dim)).astype(np.float16)
    of = rng.permutation(count)
    q[:] = k[of]
    v = rng.integers(-1000, 1000, (count, head_dim)).astype(np.float16)
    np.testing.assert_array_equal(run(device, q, k, v, 1), v[of])


def test_no_queries(device):
    empty = np.empty((0, 48), np.float16)
    assert run(device, empty, empty, empty, 1).shape == (0, 48)
