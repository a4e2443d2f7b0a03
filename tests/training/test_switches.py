"""Every ablation of the paper, and every kind of model and stage, trains a step."""

from dataclasses import replace

import pytest
import torch
from samples.tiny_models import tiny_config
from samples.training import (
    assert_equal_states,
    meshes,
    model_with_cues,
    posed_object,
    run,
    tiny_recipe,
)

from geolrm.engine.errors import InputError
from geolrm.export.model import GeoLRM
from geolrm.training.recipes import mini, paper_stage1, paper_stage2
from geolrm.training.sources import EpisodeSource, StoredObject
from geolrm.training.switches import switched

SWITCHES = {
    "plain": {},
    "no rays": {"without": ["rays"]},
    "no low level": {"without": ["low-level"]},
    "no high level": {"without": ["high-level"]},
    "no rope": {"without": ["rope"]},
    "three points": {"points": 3},
    "no points": {"points": 0},
    "one view": {"views": 1},
    "head": {"self_attention": "head"},
}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("kind", ["plain", "cues"])
def test_each_switch_trains(kind, name, tmp_path):
    if (kind, name) == ("cues", "head"):
        pytest.skip("cues were made for attention over tokens")
    recipe = tiny_recipe(tiny_config() if kind == "plain" else model_with_cues(), steps=2)
    recipe = switched(recipe, **SWITCHES[name])
    before = GeoLRM(recipe.model).state_dict()
    state, records = run(tmp_path / "run", recipe)
    assert [record["step"] for record in records] == [0, 1]
    after = state.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    for record in records:
        assert {"occupancy", "mse", "alpha", "dissimilarity", "iou", "total"} <= record.keys()


def test_switches_change_the_model():
    recipe = switched(mini(), ["rays", "high-level"], points=0, views=6)
    encoder = recipe.model.encoder
    assert encoder.rays == "none" and not encoder.use_high_level and encoder.use_low_level
    for part in (recipe.model.proposal, recipe.model.reconstruction):
        assert part.transformer.num_points == 0
    assert (recipe.views.min_inputs, recipe.views.max_inputs) == (6, 6)
    without_rope = switched(mini(), ["rope"]).model
    assert not without_rope.proposal.transformer.use_rope
    assert not without_rope.reconstruction.transformer.use_rope
    assert switched(mini()) == mini()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"without": ["colour"]}, "--without is 'colour'; it must be one of rays, low-level"),
        ({"without": ["low-level", "high-level"]}, "needs use_low_level or use_high_level"),
        ({"points": -1}, "--points is -1; it must be 0 or more"),
        ({"views": 0}, "min_inputs is 0"),
        ({"self_attention": "both"}, "it must be 'token' or 'head'"),
    ],
)
def test_switches_refuse(arguments, message):
    with pytest.raises(InputError, match=message):
        switched(mini(), **arguments)


CUES_OFF = {
    "statistics": {"statistics": False, "occlusion": False},
    "volume": {"volume_channels": 0, "occlusion": False},
    "occlusion": {"occlusion": False},
    "pixel colours": {"pixel_colors": False},
    "alpha gate": {"alpha_gate": False},
}


@pytest.mark.parametrize("name", CUES_OFF)
def test_each_cue_can_be_left_out(name, tmp_path):
    model = model_with_cues()
    assert model.cues is not None
    recipe = tiny_recipe(replace(model, cues=replace(model.cues, **CUES_OFF[name])), steps=2)
    state, records = run(tmp_path / "run", recipe)
    assert all(torch.isfinite(tensor).all() for tensor in state.model.state_dict().values())
    assert [record["step"] for record in records] == [0, 1] and records[1]["mse"] > 0


def test_stage_one_trains_the_proposal_alone(tmp_path):
    recipe = tiny_recipe(stage="proposal")
    state, records = run(tmp_path / "run", recipe)
    torch.manual_seed(recipe.seed)
    before, after = GeoLRM(recipe.model).state_dict(), state.model.state_dict()
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"serializer"}
    assert "mse" not in records[0] and records[0]["occupancy"] > 0


def test_stage_two_freezes_the_proposal(tmp_path):
    config = tiny_config()
    dropping = replace(
        config.proposal, transformer=replace(config.proposal.transformer, dropout=0.5)
    )
    recipe = tiny_recipe(replace(config, proposal=dropping), stage="reconstruction")
    torch.manual_seed(5)
    initial = GeoLRM(recipe.model).state_dict()
    initial = {name: tensor.clone() for name, tensor in initial.items()}
    state, records = run(tmp_path / "run", recipe, initial=initial)
    after = state.model.state_dict()
    moved = {name.split(".")[0] for name in after if not torch.equal(initial[name], after[name])}
    assert moved == {"lrm_generator"}, "statistics of batch norms stay, too"
    losses = {"mse", "alpha", "l1", "dissimilarity", "depth_l1"}
    weights = recipe.losses
    expected = sum(getattr(weights, name) * records[0][name] for name in losses)
    assert records[0]["total"] == pytest.approx(expected, rel=1e-5)


def test_stage_two_needs_a_proposal(tmp_path):
    with pytest.raises(InputError, match="give the checkpoint of a trained one with --initial"):
        run(tmp_path / "run", tiny_recipe(stage="reconstruction"))
    with pytest.raises(InputError, match="share one image encoder"):
        tiny_recipe(model_with_cues(), stage="proposal")


def test_recomputed_activations_and_accumulated_objects_change_no_bit_that_matters(tmp_path):
    config = tiny_config(batch_norm=False)
    recipe = tiny_recipe(config, steps=2, objects_per_step=2)
    plain, _ = run(tmp_path / "plain", recipe)
    again, _ = run(tmp_path / "again", replace(recipe, recompute=True))
    assert_equal_states(plain, again)


def test_the_paper_recipes_train_at_any_size(tmp_path):
    for recipe in (paper_stage1(), paper_stage2()):
        block = recipe.model.proposal.transformer
        small = tiny_config()
        assert block.dropout == 0.1 and recipe.model.self_attention == "token"
        config = replace(
            small,
            proposal=replace(
                small.proposal, transformer=replace(small.proposal.transformer, dropout=0.1)
            ),
        )
        views = replace(recipe.views, target_size=24, targets=2)
        recipe = replace(recipe, model=config, steps=1, objects_per_step=2, views=views)
        initial = GeoLRM(config).state_dict()
        _, records = run(tmp_path / recipe.stage, recipe, initial=initial)
        assert records[0]["total"] > 0
        if recipe.stage == "reconstruction":
            assert {"edge_log_depth", "depth_variation"} <= records[0].keys()


def test_posed_objects_train(tmp_path):
    recipe = tiny_recipe(model_with_cues(), steps=2)
    posed = posed_object()
    source = EpisodeSource([StoredObject(lambda: posed), *meshes(1)], ["posed", "mesh"], recipe)
    _, records = run(tmp_path / "run", recipe, source)
    assert {name for record in records for name in record["objects"]} == {"posed", "mesh"}
