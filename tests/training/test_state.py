import pytest
import torch

from geolrm.engine.errors import CheckpointError
from geolrm.training.optimizer import MovingAverage
from geolrm.training.state import TrainingState


def state(seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    return TrainingState(model, torch.optim.AdamW(model.parameters()), MovingAverage(model, 0.9))


def stepped(seed=0):
    made = state(seed)
    made.model(torch.ones(4, 3)).sum().backward()
    made.optimizer.step()
    made.step = 1
    return made


def test_what_was_flattened_comes_back():
    source, target = stepped(), state(seed=1)
    target.restore(source.tensors(), 1)
    first, second = source.tensors(), target.tensors()
    assert first.keys() == second.keys() and target.step == 1
    assert "optimizer.exp_avg.0.weight" in first and "average.1.bias" in first
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "damage",
    [
        lambda flat: flat.pop("model.0.weight"),
        lambda flat: flat.update({"model.other": torch.ones(1)}),
        lambda flat: flat.update({"average.0.bias": torch.ones(7)}),
    ],
)
def test_tensors_that_do_not_fit_are_counted_and_one_is_named(damage):
    flat = stepped().tensors()
    damage(flat)
    with pytest.raises(CheckpointError, match=r"does not fit this model: \d tensors .*\(\w+\."):
        state().restore(flat, 1)
