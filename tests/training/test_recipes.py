"""Recipes by name: the released hyper-parameters."""

import json
from dataclasses import asdict, replace

import pytest

pytest.importorskip("torch")

from geolrm.export.model import SplatUpdateConfig, released
from geolrm.export.model import mini as mini_model
from geolrm.training.data.conditions import ConditionConfig
from geolrm.training.recipe_files import (
    decode_recipe,
    load_recipe,
)
from geolrm.training.recipes import RECIPES, mini


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_survive_json(name):
    recipe = load_recipe(name)
    assert decode_recipe(json.loads(json.dumps(asdict(recipe))), name) == recipe


def test_the_default_is_as_it_was():
    recipe = mini()
    assert (recipe.stage, recipe.max_anchors, recipe.true_anchor_steps) == ("both", 3200, 1000)
    assert (recipe.precision, recipe.steps, recipe.objects_per_step) == ("auto", 4000, 1)
    assert recipe.optimizer.clip_scope == "module" and recipe.occupancy_convention == "centres"
    assert recipe.losses.lpips_weights is None and recipe.losses.dissimilarity == 0.3


def test_the_refinement_judges_colours_and_shape_on_captures_as_people_take_them():
    recipe = load_recipe("refinement")
    assert recipe.model == replace(
        mini_model(),
        update=SplatUpdateConfig(steps=14, cell_channels=24),
        closing=SplatUpdateConfig(steps=1, views=64, cell_channels=24),
    )
    assert (recipe.stage, recipe.steps, recipe.true_anchor_steps) == ("refinement", 2000, 0)
    losses = {name: weight for name, weight in asdict(recipe.losses).items() if weight}
    counted = {n: losses.pop(n) for n in ("mse", "dissimilarity", "surface", "logarithmic")}
    assert counted == {"mse": 1, "dissimilarity": 0.6, "surface": 0.8, "logarithmic": True}
    assert set(losses) == {"affinity", "positive_weight"}  # of occupancy, which has no weight
    views = recipe.views
    assert (views.min_inputs, views.max_inputs, views.scattered) == (3, 20, 0.25)
    assert (views.free_framing, views.fields_of_view) == (0.4, (22, 65))
    assert (views.targets, views.target_size, views.supersample) == (4, 256, 2)
    assert recipe.augmentation == mini().augmentation
    assert recipe.conditions == ConditionConfig(
        exposure=0.12, poses=0.12, pose_degrees=0.6, pose_shift=0.006
    )
    optimizer = recipe.optimizer  # takes several steps on an object
    assert (optimizer.learning_rate, optimizer.clip, optimizer.average) == (4e-4, 0.5, 0.998)
    assert optimizer.weight_decay == 0


def test_the_paper_recipes_have_the_released_hyper_parameters():
    one, two = load_recipe("paper-stage1"), load_recipe("paper-stage2")
    for recipe in (one, two):
        optimizer = recipe.optimizer
        assert optimizer.betas == (0.9, 0.95) and optimizer.weight_decay == 0.05
        assert optimizer.final_share == 0.001 and optimizer.clip_scope == "model"
        model = recipe.model
        assert model.encoder == released().encoder and not model.shared_encoder
        assert model.cues is None and model.image_size == 448
        assert model.proposal.max_seq_len == recipe.max_anchors or recipe is one
        assert recipe.occupancy_convention == "released"
    assert (one.stage, one.steps, one.optimizer.warmup) == ("proposal", 50_000, 500)
    assert (one.optimizer.learning_rate, one.optimizer.clip) == (2e-4, 10)
    assert (one.losses.occupancy, one.losses.affinity, one.losses.positive_weight) == (1, 1, 1)
    assert (one.views.min_inputs, one.views.max_inputs) == (1, 8)
    assert (two.stage, two.steps * two.objects_per_step) == ("reconstruction", 100_000)
    assert two.optimizer.warmup * two.objects_per_step == 12_000
    assert (two.optimizer.learning_rate, two.optimizer.clip) == (1e-4, 4)
    losses = two.losses
    assert (losses.mse, losses.dissimilarity, losses.alpha) == (4, 2, 1)
    assert (losses.edge_log_depth, losses.depth_variation) == (0.2, 0.05)
    assert losses.l1 == losses.depth_l1 == 0
    assert (two.views.min_inputs, two.views.max_inputs, two.views.target_size) == (1, 7, 448)
