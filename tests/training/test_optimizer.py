from dataclasses import replace

import numpy as np
import pytest
import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm.export.model import SplatUpdateConfig
from geolrm.training.config import OptimizerConfig
from geolrm.training.optimizer import (
    MovingAverage,
    clip_gradients,
    clipped_modules,
    learning_rate,
    make_optimizer,
)
from geolrm.training.stages import prepare


def test_the_rate_warms_up_and_falls_along_cosines():
    config = OptimizerConfig(1e-3, final_share=0.1, warmup=10)
    rates = [learning_rate(step, 110, config) for step in range(111)]
    assert rates[0] == pytest.approx(1e-4) and rates[5] == pytest.approx(5.5e-4)
    assert rates[10] == pytest.approx(1e-3) and rates[60] == pytest.approx(5.5e-4)
    assert rates[110] == pytest.approx(1e-4)
    assert np.all(np.diff(rates[:11]) > 0) and np.all(np.diff(rates[10:]) < 0)
    assert learning_rate(500, 110, config) == pytest.approx(1e-4)


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_config()).requires_grad_(True)


def test_matrices_decay_and_vectors_do_not(model):
    decaying, others = make_optimizer(model, OptimizerConfig(weight_decay=0.2)).param_groups
    assert decaying["weight_decay"] == 0.2 and others["weight_decay"] == 0
    assert min(p.ndim for p in decaying["params"]) > 1
    assert max(p.ndim for p in others["params"]) <= 1


def test_each_module_is_clipped_apart(model):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    loud, quiet = model.serializer.upsample.weight, model.lrm_generator.transformer.query_token
    loud.grad.fill_(10)
    quiet.grad.fill_(1e-4)
    before = float(loud.grad.norm())
    assert {"proposal.upsample", "reconstruction.transformer"} <= clipped_modules(model).keys()
    assert clip_gradients(model, OptimizerConfig(clip=1.0)) == pytest.approx(before)
    assert float(loud.grad.norm()) == pytest.approx(1, rel=1e-3)
    assert float(quiet.grad.max()) == pytest.approx(1e-4)
    loud.grad.fill_(10)
    clip_gradients(model, OptimizerConfig(clip=1.0, clip_scope="model"))
    assert float(quiet.grad.max()) < 1e-4  # all at once: the loud one silences it


def test_the_update_network_is_clipped_as_one():
    config = replace(tiny_config(), update=SplatUpdateConfig(width=8, shared=4))
    refined = tiny_model(config).requires_grad_(True)
    prepare(refined, "refinement")
    assert clipped_modules(refined) == {"refinement": refined.splat_update}
    decaying, others = make_optimizer(refined, OptimizerConfig()).param_groups
    trained = {id(p) for p in decaying["params"] + others["params"]}
    assert trained == {id(p) for p in refined.splat_update.parameters()}
    prepare(refined.requires_grad_(True), "both")
    assert "refinement" not in clipped_modules(refined)


def test_the_average_follows_fast_at_first():
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0)
    average = MovingAverage(module, 0.9)
    module.weight.data.fill_(1)
    average.update(module, 0)
    assert average.weights["weight"].item() == pytest.approx(0.9)  # 1 / 10 of the old
    average.update(module, 1000)
    assert average.weights["weight"].item() == pytest.approx(0.91)
