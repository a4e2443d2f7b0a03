import numpy as np
import torch
from harness.data import DATA

from geolrm.export.model import attention
from geolrm.export.model.attention import (
    attend_over_heads,
    attend_over_queries,
    rope_table,
    rotate,
)

VECTORS = np.load(DATA / "conformance" / "unit_vectors.npz")


def vector(name):
    return torch.from_numpy(VECTORS[name])


def test_rope_equals_the_reference():
    for x, position, expected in zip(
        vector("rope_in"), vector("rope_pos"), vector("rope_out_base10000"), strict=True
    ):
        np.testing.assert_allclose(rotate(x, *rope_table(position, 24)), expected, atol=1e-6)


def test_head_attention_is_the_stated_shuffle():
    tokens, heads, width = 7, 3, 4
    q, k, v = torch.randn(3, tokens, heads, width)
    out = attend_over_heads(q, k, v)
    for t in range(tokens):
        for u in range(heads):
            n = t * heads + u
            token, head = n % tokens, n // tokens
            weights = torch.softmax(k[token] @ q[token, head] / width**0.5, dim=0)
            expected = weights @ v[token]
            np.testing.assert_allclose(out[t, u * width : (u + 1) * width], expected, atol=1e-5)


def test_token_attention_is_a_softmax_over_all_tokens():
    q, k, v = torch.randn(3, 5, 2, 6, generator=torch.Generator().manual_seed(0))
    out = attend_over_queries(q, k, v)
    for head in range(2):
        weights = torch.softmax(q[:, head] @ k[:, head].T / 6**0.5, dim=-1)
        expected = weights @ v[:, head]
        np.testing.assert_allclose(out[:, 6 * head : 6 * head + 6], expected, atol=1e-5)


def test_rotation_keeps_lengths_and_products_depend_on_differences_alone():
    x = torch.randn(2, 1, 2, 12, generator=torch.Generator().manual_seed(0))
    here, there = (rope_table(torch.tensor([[3, 7, 1]]) + shift, 12) for shift in (0, 20))
    a, b = rotate(x[0], *here), rotate(x[1], *here)
    np.testing.assert_allclose(a.norm(dim=-1), x[0].norm(dim=-1), rtol=1e-5)
    moved = (rotate(x[0], *there) * rotate(x[1], *there)).sum()
    np.testing.assert_allclose((a * b).sum(), moved, atol=1e-4)


def test_another_attention_is_used_while_it_is_open():
    calls = []

    def noted(q, k, v, heads):
        calls.append(heads)
        return attention.fused_attention(q, k, v, heads)

    q, k, v = torch.randn(3, 4, 3, 6)
    with attention.use_attention(noted):
        inside = attend_over_queries(q, k, v)
    outside = attend_over_queries(q, k, v)
    assert calls == [3] and torch.equal(inside, outside)
