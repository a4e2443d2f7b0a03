import numpy as np
import torch

from geolrm.export.model.cross_attention import sample_and_weigh
from geolrm.export.onnx_operator import deformable_cross_attention

SHAPES, VIEWS, COUNT, HEADS, POINTS, CHANNELS = ((5, 6), (3, 4)), 3, 7, 2, 2, 6


def inputs():
    generator = torch.Generator().manual_seed(0)
    rows = sum(height * width for height, width in SHAPES)
    samples = HEADS * len(SHAPES) * POINTS
    return (
        torch.randn(VIEWS, rows, HEADS * CHANNELS, generator=generator),
        torch.rand(VIEWS, COUNT, 2, generator=generator),
        torch.randn(COUNT, 2 * samples, generator=generator),
        torch.randn(COUNT, samples, generator=generator),
        torch.randn(HEADS * CHANNELS, generator=generator),
        torch.randn(1, generator=generator),
    )


def test_views_are_fused_by_a_softmax_over_their_logits():
    value, reference, offsets, logits, weight, bias = given = inputs()
    sides = [side for shape in SHAPES for side in shape]
    fused = deformable_cross_attention(*given, sides, HEADS, POINTS)
    per_view = sample_and_weigh(
        value.unflatten(2, (HEADS, -1)), SHAPES, reference,
        offsets.view(COUNT, HEADS, len(SHAPES), POINTS, 2), logits.view(COUNT, HEADS, -1),
    )  # fmt: skip
    shares = np.exp((per_view @ weight + bias).numpy())
    shares /= shares.sum(axis=0)
    np.testing.assert_allclose(fused, (shares[..., None] * per_view.numpy()).sum(0), atol=1e-5)


def test_one_view_needs_no_weights():
    value, reference, offsets, logits, weight, bias = inputs()
    sides = [side for shape in SHAPES for side in shape]
    results = [
        deformable_cross_attention(
            value[:1], reference[:1], offsets, logits, factor * weight, bias, sides, HEADS, POINTS
        )
        for factor in (1, -3)
    ]
    torch.testing.assert_close(*results)
