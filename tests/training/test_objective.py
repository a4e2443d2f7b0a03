from types import SimpleNamespace

import numpy as np
import pytest
import torch
from samples.tiny_models import tiny_config, tiny_model
from samples.training import tiny_recipe

from geolrm.engine.errors import GeoLRMError
from geolrm.training.config import LossConfig
from geolrm.training.objective import BUCKET, Objective, fill_bucket


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [(1, 400, 128), (128, 400, 128), (129, 400, 256), (300, 310, 310)],
)
def test_the_next_most_likely_voxels_fill_a_bucket(count, limit, expected):
    scores = torch.linspace(1, -1, 512)[torch.randperm(512)]
    scores = scores - scores.topk(count + 1).values[-1]
    filled = fill_bucket(scores, limit)
    assert int((filled > 0).sum()) == expected
    assert expected == limit or expected % BUCKET == 0
    assert (scores.argsort() == filled.argsort()).all()


def test_early_steps_read_the_true_anchors():
    recipe = tiny_recipe(true_anchor_steps=10, max_anchors=128)
    objective = Objective(tiny_model(tiny_config()), recipe, None)
    occupancy = torch.zeros(8, 8, 8)
    occupancy[2, 3] = 1
    episode = SimpleNamespace(occupancy=occupancy)
    anchors = objective.choose_anchors(
        0.1 * torch.randn(8, 8, 8), episode, 0, 5, torch.Generator().manual_seed(0)
    )
    true = np.argwhere(occupancy.numpy()) / 7 - 0.5
    chosen = {tuple(np.round(row, 4)) for row in anchors.numpy()}
    assert {tuple(np.round(row, 4)) for row in true.astype(np.float32)} <= chosen
    assert len(anchors) == 128


def test_distances_to_the_surface_need_scipy(monkeypatch):
    monkeypatch.setattr("geolrm.engine.system.extras.installed_version", lambda package: None)
    model = tiny_model(config := tiny_config())
    plain, shaped = (
        tiny_recipe(config, losses=LossConfig(surface=weight)) for weight in (0.0, 0.5)
    )
    Objective(model, plain, None)
    with pytest.raises(GeoLRMError, match=r"losses.surface needs scipy.*geolrm\[training\]"):
        Objective(model, shaped, None)
