from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from samples.tiny_models import tiny_config, tiny_model
from samples.training import tiny_recipe

from geolrm.export.model.proposal import Proposal
from geolrm.training.config import LossConfig
from geolrm.training.objective import (
    BUCKET,
    Objective,
    fill_bucket,
    image_terms,
    intersection_over_union,
    occupancy_terms,
    weight_of,
)


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


def test_overlap_of_proposed_and_true_voxels():
    logits = torch.tensor([1.0, 1.0, -1.0, -1.0])
    assert intersection_over_union(logits, torch.tensor([1.0, 0, 1, 0])) == pytest.approx(1 / 3)
    assert intersection_over_union(-torch.ones(4), torch.zeros(4)) == 0


def test_the_first_pass_counts_half():
    weights = LossConfig(occupancy=3.0)
    logits, target = torch.randn(4, 4, 4), (torch.rand(4, 4, 4) > 0.5).float()
    assert set(occupancy_terms(Proposal(logits), target, weights)) == {"occupancy"}
    both = occupancy_terms(Proposal(logits, None, logits), target, weights)
    assert torch.equal(both["coarse"], both["occupancy"])
    assert weight_of("coarse", weights) == 1.5 and weight_of("occupancy", weights) == 3


def images(shade):
    return SimpleNamespace(
        rgb=torch.full((1, 12, 12, 3), shade), alpha=torch.ones(1, 12, 12),
        depth=torch.full((1, 12, 12), 2.0),
    )  # fmt: skip


def test_terms_of_images_are_those_with_a_weight():
    target = torch.zeros(1, 12, 12, 4)
    target[..., :3], target[..., 3] = 0.5, 1
    episode = SimpleNamespace(target_rgba=target, target_depth=torch.full((1, 12, 12), 1.5))
    weights = LossConfig(l1=0, dissimilarity=0, depth_l1=1)
    terms = image_terms(images(0.7), episode, torch.ones(3), weights, None)
    assert set(terms) == {"mse", "alpha", "depth_l1"}
    assert terms["mse"] == pytest.approx(0.04, abs=1e-6)
    assert terms["alpha"] == 0 and terms["depth_l1"] == 0.5
    weights = replace(weights, l1=1, dissimilarity=1)
    terms = image_terms(images(0.7), episode, torch.ones(3), weights, lambda *_: torch.tensor(9.0))
    assert terms["l1"] == pytest.approx(0.2, abs=1e-6) and terms["dissimilarity"] == 9


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
