from dataclasses import replace

import pytest
from samples.tiny_models import tiny_config
from samples.training import model_with_cues

from geolrm import InputError
from geolrm.export.model import SplatUpdateConfig
from geolrm.training.config import LossConfig, OptimizerConfig, Recipe, ViewConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LossConfig(mse=-1), "mse is -1; it must be a finite number, 0 or more"),
        (lambda: LossConfig(l1=float("nan")), "l1 is nan; it must be a finite number"),
        (lambda: ViewConfig(3, 2), "min_inputs is 3 and max_inputs 2; they must satisfy"),
        (lambda: ViewConfig(0, 2), "they must satisfy 1 <= min_inputs <= max_inputs"),
        (lambda: ViewConfig(targets=0), "targets is 0; it must be 1 or more"),
        (lambda: ViewConfig(target_size=10), "target_size is 10; it must be 11 px or more"),
        (lambda: ViewConfig(supersample=0), "supersample is 0; it must be 1 or more"),
        (lambda: ViewConfig(scattered=1.5), "scattered is 1.5; it must be a share, 0 to 1"),
        (lambda: ViewConfig(free_framing=-1), "free_framing is -1; it must be a share, 0 to 1"),
        (
            lambda: ViewConfig(scattered=0.6, hemispheres=0.6),
            "scattered is 0.6 and hemispheres 0.6; they are shares of all captures and must not "
            "add up to more than 1",
        ),
        (
            lambda: ViewConfig(fields_of_view=(60.0, 30.0)),
            "fields_of_view are 60.0 and 30.0; they must be degrees, the smaller first, from 5 to",
        ),
        (
            lambda: ViewConfig(target_groups=(0.5, 0.5, 0.5, 0)),
            r"target_groups are \[0.5, 0.5, 0.5, 0\]; they must be shares that add up to 1",
        ),
        (lambda: OptimizerConfig(clip=0.0), "clip is 0.0; it must be above 0"),
        (lambda: OptimizerConfig(final_share=2), "final_share is 2; it must be a share, 0 to 1"),
        (lambda: OptimizerConfig(betas=(0.9, 1.0)), "betas is 1.0; it must be 0 or more and below"),
        (lambda: Recipe(tiny_config(), 0), "steps is 0; it must be 1 or more"),
        (lambda: Recipe(tiny_config(), 1, seed=1 << 32), "seed is 4294967296; it must be a whole"),
        (lambda: Recipe(tiny_config(), 1, true_anchor_steps=-1), "true_anchor_steps is -1"),
        (
            lambda: Recipe(model_with_cues(), 1, stage="proposal"),
            "stage is 'proposal', but both stages of this model share one image encoder",
        ),
        (
            lambda: Recipe(tiny_config(), 1, stage="refinement"),
            "stage is 'refinement', but the model has no update network; set model.update, as",
        ),
        (
            lambda: Recipe(tiny_config(), 1, stage="closing"),
            "stage is 'closing', but the model has no update network; set model.update, as",
        ),
        (
            lambda: Recipe(replace(tiny_config(), update=SplatUpdateConfig()), 1, stage="closing"),
            "stage is 'closing', but the model has no closing network; set model.closing, as",
        ),
    ],
)
def test_values_that_no_run_has(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_stages_apart_need_encoders_apart():
    recipe = Recipe(tiny_config(), 3, stage="proposal")
    assert replace(recipe, stage="reconstruction").steps == 3
    shared = replace(model_with_cues(), update=SplatUpdateConfig())
    assert Recipe(shared, 3, stage="refinement").steps == 3  # frozen, it may be shared
