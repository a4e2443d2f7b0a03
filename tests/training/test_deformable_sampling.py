"""Native deformable sampling within torch: its autograd function, and the model on it."""

import pytest

torch = pytest.importorskip("torch")

from csrc.test_deformable_sampling import SHAPES, differentiate, draw  # noqa: E402

from geolrm.export.model import TransformerConfig, cross_attention  # noqa: E402
from geolrm.training.deformable_sampling import (  # noqa: E402
    deformable_sampling,
    sample_and_weigh,
)


def test_the_model_trains_with_it():
    torch.manual_seed(0)
    block = TransformerConfig(24, 2, num_heads=2, num_points=2)
    layer = cross_attention.CrossAttention(block, feature_dim=12, num_levels=2)
    features, query = torch.randn(2, 40, 12), torch.randn(5, block.dim)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)

    def gradients():
        layer.zero_grad()
        layer(query, features, SHAPES, torch.rand(2, 5, 2).fill_(0.4)).square().sum().backward()
        return {n: p.grad.clone() for n, p in layer.named_parameters()}

    slow = gradients()
    with cross_attention.use_sampler(sample_and_weigh):
        fast = gradients()
    for name, gradient in slow.items():
        torch.testing.assert_close(fast[name], gradient, rtol=1e-4, atol=1e-5)
    assert cross_attention._sampler is cross_attention.sample_and_weigh


def test_refuses_another_device():
    tensors, shapes = draw()
    with pytest.raises(ValueError, match="native sampling runs on the CPU"):
        deformable_sampling(
            tensors["value"].to("meta"), shapes, *list(tensors.values())[1:], threads=1
        )


def test_keeps_the_precision_of_its_arguments():
    tensors, shapes = draw()
    case = {n: t.to(torch.bfloat16) for n, t in tensors.items()}
    results = differentiate(sample_and_weigh, (case, shapes), torch.bfloat16)
    assert {t.dtype for t in results} == {torch.bfloat16}
