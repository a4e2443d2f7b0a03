import numpy as np
import pytest
import torch

from geolrm.export.model.attention import fused_attention
from geolrm.training import attention


def test_blocks_cover_every_row_of_every_head_once(monkeypatch):
    monkeypatch.setattr(attention, "ROWS", 4)
    made = attention.blocks(2, 10)
    rows = [(head, row) for head, rows in made for row in range(rows.start, rows.stop)]
    assert rows == [(head, row) for head in range(2) for row in range(10)]


@pytest.mark.parametrize("rows", [3, 512])
def test_values_and_gradients_follow_torchs_own(monkeypatch, rows):
    monkeypatch.setattr(attention, "ROWS", rows)
    results = []
    for attend in (attention.multi_head_attention, fused_attention):
        torch.manual_seed(0)
        q, k, v = (torch.randn(1, 11, 12, requires_grad=True) for _ in range(3))
        out = attend(q, k, v, 2)
        (out * torch.linspace(-1, 1, 12)).sum().backward()
        results.append([out, q.grad, k.grad, v.grad])
    for got, expected in zip(*results, strict=True):
        got, expected = got.detach().numpy(), expected.detach().numpy()
        np.testing.assert_allclose(got, expected, atol=0.03)  # bf16
