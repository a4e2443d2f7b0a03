"""Steps of the optimizer from losses: what is added up, what is refused, what is recorded."""

import math

import pytest
import torch
from samples.training import tiny_recipe

from geolrm.export.model import GeoLRM
from geolrm.training.config import OptimizerConfig
from geolrm.training.learner import Learner
from geolrm.training.optimizer import MovingAverage, make_optimizer
from geolrm.training.state import TrainingState

CONFIG = OptimizerConfig(weight_decay=0.0, clip=1e9, clip_scope="model")


@pytest.fixture
def state():
    torch.manual_seed(0)
    model = GeoLRM(tiny_recipe().model)
    return TrainingState(model, make_optimizer(model, CONFIG), MovingAverage(model, 0.5))


def weight_of(state):
    return next(state.model.parameters())


def test_losses_add_up_until_a_step(state):
    learner, weight = Learner(state, CONFIG, rate=0.25), weight_of(state)
    before = weight.detach().clone()
    for share in (1.0, 2.0):
        learner.add(share * weight.sum())
    assert weight.grad.unique().tolist() == [3.0] and torch.equal(weight, before)
    learner.step()
    assert weight.grad is None
    torch.testing.assert_close(weight, before - 0.25)  # Adam's first step is the rate
    assert learner.norm == pytest.approx(3 * math.sqrt(weight.numel()))
    name = next(name for name, _ in state.model.named_parameters())
    torch.testing.assert_close(state.average.weights[name], before - 0.25 * 0.9)  # warmed up


def test_each_loss_may_have_its_own_step(state):
    learner, weight = Learner(state, CONFIG, rate=0.5), weight_of(state)
    before = weight.detach().clone()
    for share in (4.0, 1.0):
        learner.learn(share * weight.sum())
    assert weight.grad is None and not torch.equal(weight, before)
    root = math.sqrt(weight.numel())
    assert learner.norms == pytest.approx([4 * root, root]) and learner.norm == max(learner.norms)


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_what_is_no_number_changes_nothing_and_is_recorded(state, factor):
    learner, weight = Learner(state, CONFIG, rate=0.5), weight_of(state)
    before = weight.detach().clone()
    learner.learn(factor * weight.sum())
    assert torch.equal(weight, before) and not math.isfinite(learner.norm)
    learner.learn(weight.sum())  # the next is its own
    assert not torch.equal(weight, before) and not math.isfinite(learner.norm)


def test_a_loss_that_is_no_number_is_refused_though_its_gradients_are(state):
    learner, weight = Learner(state, CONFIG, rate=0.5), weight_of(state)
    before = weight.detach().clone()
    learner.learn(weight.sum() + math.inf)
    assert torch.equal(weight, before)


def test_without_a_step_there_is_no_gradient(state):
    assert Learner(state, CONFIG, rate=0.5).norm == 0.0
