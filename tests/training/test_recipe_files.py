"""Recipes from files and changes of single fields: strictness, one-sentence errors."""

import json

import pytest

pytest.importorskip("torch")

from geolrm.engine.errors import InputError
from geolrm.training.recipe_files import (
    assignments,
    changed,
    load_recipe,
)
from geolrm.training.recipes import mini


def test_files_lie_over_their_base(tmp_path):
    text = 'base = "mini"\nsteps = 7\n[model.encoder]\nrays = "none"\n[losses]\nmse = 2\n'
    (tmp_path / "a.toml").write_text(text)
    recipe = load_recipe(str(tmp_path / "a.toml"))
    assert (recipe.steps, recipe.losses.mse, recipe.model.encoder.rays) == (7, 2.0, "none")
    assert recipe.model.encoder.hidden_size == mini().model.encoder.hidden_size
    (tmp_path / "a.json").write_text(json.dumps({"base": "paper-stage1", "model": {"cues": {}}}))
    recipe = load_recipe(str(tmp_path / "a.json"))
    assert recipe.stage == "proposal" and recipe.model.cues is not None


@pytest.mark.parametrize(
    "text, message",
    [
        ("steps =", r"a\.toml' cannot be read"),
        ("stepps = 3", r"stepps is no field of a recipe; a recipe has model, steps"),
        ("[losses]\nmse2 = 3", r"losses\.mse2 is no field of a recipe; losses has occupancy"),
        ('steps = "many"', r"makes no recipe: Expected `int`, got `str` - at `steps`"),
        ("steps = 0", r"steps is 0; it must be 1 or more"),
        (
            "[model.encoder]\nrays = 'some'",
            r"Invalid enum value 'some' - at `model\.encoder\.rays`",
        ),
        ("[model]\nimage_size = 225", r"image_size 225 must be a positive multiple"),
        ("[views]\nmin_inputs = 9", r"min_inputs is 9 and max_inputs 8"),
        ("[optimizer]\nlearning_rate = nan", r"learning_rate is nan; it must be a finite number"),
        ("[optimizer]\naverage = 1.0", r"average is 1\.0; it must be 0 or more and below 1"),
        ("[augmentation]\nspin = 2", r"spin is 2\.0; it must be a probability"),
        ('stage = "proposal"', r"both stages of this model share one image encoder"),
        ('base = "huge"', r"base is 'huge'; it must be one of mini, captures, refinement"),
    ],
)
def test_files_are_refused_in_one_sentence(text, message, tmp_path):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(str(tmp_path / "a.toml"))
    assert "a.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(
        InputError, match="there is no recipe 'huge'; choose one of mini, captures, refinement"
    ):
        load_recipe("huge")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="holds no fields of a recipe"):
        load_recipe(str(tmp_path / "list.json"))


def test_assignments():
    texts = ["losses.mse=4", "precision=fp32", "model.cues=null", "optimizer.betas=[0.9, 0.95]"]
    recipe = changed(mini(), assignments(texts), "the command line")
    assert recipe.losses.mse == 4 and recipe.precision == "fp32" and recipe.model.cues is None
    assert recipe.optimizer.betas == (0.9, 0.95)
    for text in ("losses.mse", "=3", "a..b=3"):
        with pytest.raises(InputError, match="it must be FIELD=VALUE, such as"):
            assignments([text])
    with pytest.raises(InputError, match="contradicts another --set"):
        assignments(["losses=3", "losses.mse=4"])
    with pytest.raises(InputError, match="'losses.mse=5' contradicts another --set"):
        assignments(["losses.mse=4", "losses.mse=5"])


@pytest.mark.parametrize(
    "text, message",
    [
        ("model.encoder.patch_size=0", "patch_size is 0; it must be a finite number, above 0"),
        ("model.encoder.low_level_stride=0", "low_level_stride is 0; it must be a finite number"),
        ("model.proposal.transformer.num_heads=0", "num_heads is 0; it must be a finite number"),
        ("model.proposal.transformer.dropout=1", r"dropout is 1\.0; it must be below 1"),
        ("model.proposal.token_res=-4", "token_res is -4; it must be a finite number, above 0"),
        ("model.proposal.occupancy_bias=NaN", "occupancy_bias is nan; it must be a finite number"),
        ("model.reconstruction.gaussians_per_anchor=0", "gaussians_per_anchor is 0; it must be"),
        ("model.reconstruction.scale_max=NaN", "scale_max is nan; it must be a finite number"),
        ("model.fov_degrees=180", r"fov_degrees is 180\.0; it must be an angle above 0 and below"),
        ("seed=4294967296", "seed is 4294967296; it must be a whole number from 0 to 4294967295"),
        ("true_anchor_steps=-1", "true_anchor_steps is -1; it must be 0 or more"),
        ("optimizer.final_share=2", r"final_share is 2\.0; it must be a share, 0 to 1"),
    ],
)
def test_numbers_that_make_no_model_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        changed(mini(), assignments([text]), "the command line")
