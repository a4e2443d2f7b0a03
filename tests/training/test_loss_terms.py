import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from geolrm.export.model.proposal import Proposal
from geolrm.training.config import LossConfig
from geolrm.training.loss_terms import (
    image_terms,
    intersection_over_union,
    occupancy_terms,
    weight_of,
    weighted_sum,
)


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


def test_terms_without_gradients_only_inform():
    learned = torch.tensor(2.0, requires_grad=True)
    terms = {"mse": learned, "alpha": torch.tensor(5.0)}
    assert weighted_sum(terms, LossConfig(mse=3.0, alpha=7.0)) == 6
    assert weighted_sum({"alpha": torch.tensor(5.0)}, LossConfig()) == 0


def test_terms_of_targets_count_by_their_logarithm_where_asked():
    terms = {name: torch.tensor(0.01, requires_grad=True) for name in ("mse", "l1", "occupancy")}
    weights = LossConfig(mse=2.0, l1=1.0, occupancy=3.0, logarithmic=True)
    expected = 2 * math.log(0.01 + 1e-5) + math.log(0.01 + 1e-3) + 3 * 0.01
    assert weighted_sum(terms, weights).item() == pytest.approx(expected, rel=1e-6)
    plain = weighted_sum(terms, replace(weights, logarithmic=False))
    assert plain.item() == pytest.approx(0.06, rel=1e-6)
