import numpy as np
import torch
from samples.tiny_models import tiny_config

from geolrm.export.model import cross_attention
from geolrm.export.model.cross_attention import CrossAttention, DeformableAttention

SHAPES = ((5, 6), (3, 4))


def make_module(kind, seed=0):
    torch.manual_seed(seed)
    config = tiny_config().proposal.transformer
    module = kind(config, 12, 2).eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def inputs(views=3, count=7):
    generator = torch.Generator().manual_seed(1)
    rows = sum(height * width for height, width in SHAPES)
    query = torch.randn(count, 24, generator=generator)
    features = torch.randn(views, rows, 12, generator=generator)
    reference = torch.rand(views, count, 2, generator=generator) * 1.4 - 0.2
    return query, features, SHAPES, reference


def test_offsets_start_as_rings_and_weights_as_equals():
    module = DeformableAttention(tiny_config().proposal.transformer, 12, 2).requires_grad_(False)
    offsets = module.offsets(torch.randn(4, 24)).view(4, 2, 2, 2, 2)
    assert torch.equal(offsets[0], offsets[3])  # of no query
    np.testing.assert_allclose(offsets[0, 0, 0], [[1, 0], [2, 0]], atol=1e-6)
    np.testing.assert_allclose(offsets[0, 1, 1], [[-1, 0], [-2, 0]], atol=1e-6)
    assert not module.attention_weights(torch.randn(4, 24)).any()


def test_the_fused_operator_equals_one_output_per_view_and_their_softmax():
    module, given = make_module(CrossAttention), inputs()
    np.testing.assert_allclose(
        module.output_proj(module.fused(*given[:2], SHAPES, given[3])), module(*given), atol=1e-5
    )


def test_views_are_fused_in_any_order():
    module, (query, features, shapes, reference) = make_module(CrossAttention), inputs()
    order = [2, 0, 1]
    shuffled = module(query, features[order], shapes, reference[order])
    np.testing.assert_allclose(shuffled, module(query, features, shapes, reference), atol=1e-5)


def test_another_sampler_is_used_while_it_is_open():
    module, given, calls = make_module(DeformableAttention), inputs(), []

    def noted(*arguments):
        calls.append(len(arguments))
        return cross_attention.sample_and_weigh(*arguments)

    with cross_attention.use_sampler(noted):
        inside = module(*given)
    assert calls == [5] and torch.equal(inside, module(*given))
