from dataclasses import replace

import pytest
import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm.export.model import SplatUpdateConfig
from geolrm.training.stages import prepare, recompute_blocks


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        ("both", (True, True, False, False)),
        ("proposal", (True, False, False, False)),
        ("reconstruction", (False, True, False, False)),
        ("refinement", (False, False, True, True)),
        ("closing", (False, False, False, True)),
    ],
)
def test_the_other_stages_are_left_alone(stage, trained):
    config = replace(tiny_config(), update=SplatUpdateConfig(), closing=SplatUpdateConfig(steps=1))
    model = tiny_model(config).requires_grad_(True)
    prepare(model, stage)
    networks = (model.serializer, model.lrm_generator, model.splat_update, model.splat_closing)
    for network, expected in zip(networks, trained, strict=True):
        assert network.training is expected
        assert all(p.requires_grad is expected for p in network.parameters())


def test_recomputed_blocks_have_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        network = tiny_model(tiny_config()).serializer.transformer.requires_grad_(True)
        if recompute:
            recompute_blocks(network)
        anchors = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)) - 0.5
        features = torch.ones(2, 14 * 14 + 8 * 8, 12)
        shapes, reference = ((14, 14), (8, 8)), torch.full((2, 6, 2), 0.5)
        network(anchors, (8 * anchors).long() + 4, features, shapes, reference).sum().backward()
        gradients.append(network.layers[0].feed_forward.w1.weight.grad)
    assert torch.equal(*gradients) and gradients[0].any()
