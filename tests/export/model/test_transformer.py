from dataclasses import replace

import numpy as np
import torch
from samples.tiny_models import tiny_config

from geolrm.export.model.transformer import Block, FeedForward, GeometryTransformer

SHAPES = ((4, 4),)


def inputs(count=9, views=2):
    generator = torch.Generator().manual_seed(0)
    anchors = torch.rand(count, 3, generator=generator) - 0.5
    index = (8 * (anchors + 0.5)).long()
    features = torch.randn(views, 16, 12, generator=generator)
    return anchors, index, features, SHAPES, torch.rand(views, count, 2, generator=generator)


def transformer(**fields):
    torch.manual_seed(0)
    config = replace(tiny_config().proposal.transformer, **fields)
    return GeometryTransformer(config, 12, 1).eval().requires_grad_(False)


def test_feed_forward_is_swiglu():
    layer = FeedForward(tiny_config().proposal.transformer)
    x = torch.randn(3, 24)
    gate = layer.w1(x)
    expected = layer.w2(gate * torch.sigmoid(gate) * layer.w3(x))
    torch.testing.assert_close(layer(x), expected)


def test_latents_have_unit_mean_square():
    latents = transformer()(*inputs())
    np.testing.assert_allclose(latents.square().mean(dim=1), 1, atol=1e-3)


def test_anchors_may_come_in_any_order():
    model, (anchors, index, features, shapes, reference) = transformer(), inputs()
    order = torch.randperm(len(anchors), generator=torch.Generator().manual_seed(1))
    shuffled = model(anchors[order], index[order], features, shapes, reference[:, order])
    expected = model(anchors, index, features, shapes, reference)[order]
    np.testing.assert_allclose(shuffled, expected, atol=1e-5)


def test_cues_are_added_to_the_first_tokens():
    model, given = transformer(), inputs()
    nothing = torch.zeros(9, 24)
    assert torch.equal(model(*given), model(*given, nothing))
    assert not torch.equal(model(*given), model(*given, nothing + 1))


def test_the_released_residual_drops_the_stream():
    """Scaled tokens normalise to the same: then only the paper's residual sees the scale."""
    _, _, features, shapes, reference = inputs()
    tokens = torch.randn(9, 24, generator=torch.Generator().manual_seed(2))
    for residual, same in (("normalised", True), ("stream", False)):
        torch.manual_seed(0)
        config = replace(
            tiny_config("head").proposal.transformer, cross_attention_residual=residual
        )
        block = Block(config, 12, 1).eval().requires_grad_(False)
        block.self_attention.wo.weight.zero_()
        once, twice = (block(s * tokens, None, features, shapes, reference) for s in (10, 20))
        assert torch.allclose(once, twice, atol=1e-4) is same
