"""Objects set aside: which, how they are judged, and that judging changes nothing."""

import math

import pytest
import torch
from samples.training import assert_equal_states, meshes, model_with_cues, run, tiny_recipe

from geolrm.export.checkpoint import load_checkpoint
from geolrm.training.data.conditions import ConditionConfig
from geolrm.training.loop import Intervals, train
from geolrm.training.objective import Objective
from geolrm.training.rendering import choose_rasterizer
from geolrm.training.run_folder import BEST_NAME, RunFolder
from geolrm.training.sources import EpisodeSource
from geolrm.training.validation import Validation, averaged, clean, set_aside

NAMES = [f"object{index}" for index in range(40)]


@pytest.fixture(scope="module")
def recipe():
    return tiny_recipe(model_with_cues(), steps=4, conditions=ConditionConfig(poses=0.5, cut=0.5))


def source(recipe, count=2):
    return EpisodeSource(meshes(count), NAMES[:count], recipe)


def trained(folder, recipe, validate=None):
    return run(folder, recipe, source(recipe), validate=validate)


def test_the_same_objects_are_set_aside_whatever_others_join():
    aside = set_aside(NAMES, 10)
    assert len(aside) == 10 and aside == set_aside(NAMES[::-1], 10)
    assert set_aside([*NAMES, *NAMES], 10) == aside
    joined = set_aside([*NAMES, "more"], 10)
    assert len(joined & aside) >= 9
    assert set_aside(NAMES, 0) == frozenset() and set_aside(NAMES, 99) == set(NAMES)


def test_clean_captures_are_those_of_the_evaluation(recipe):
    made = source(clean(recipe, 3))[0]
    assert len(made.foreground) == 3 and made.valid is None
    assert made.intrinsics[0, 0, 0] == pytest.approx(0.5 / math.tan(math.radians(25)))
    heights = torch.linalg.inv(made.target_w2c)[:, 2, 3]
    assert torch.isfinite(heights).all()


def test_a_run_is_judged_at_its_steps_and_is_no_other_run_for_it(recipe, tmp_path):
    plain, _ = trained(tmp_path / "plain", recipe)
    folder = RunFolder(tmp_path / "judged")
    validation = Validation(source(recipe), recipe, folder)
    folder.start(recipe, {})
    state = train(
        recipe, source(recipe), folder,
        intervals=Intervals(checkpoint_seconds=0, validation_steps=3), validate=validation,
    )  # fmt: skip
    assert_equal_states(state, plain)
    found = folder.validations()
    assert [record["step"] for record in found] == [3, 4]
    for record in found:
        kinds = [record[f"{name}_psnr"] for name in ("views_6", "views_12", "drawn")]
        assert record["score"] == pytest.approx(sum(kinds) / 3) and 0 < record["score"] < 60
    assert validation.best == max(record["score"] for record in found)
    best = load_checkpoint(folder.path / BEST_NAME)[0].state_dict()
    last = state.average.weights
    same = all(torch.equal(best[name], last[name]) for name in last)
    assert same == (found[1]["score"] > found[0]["score"])


def test_what_is_judged_is_the_moving_average(recipe, tmp_path):
    state, _ = trained(tmp_path / "run", recipe)
    before = {k: v.clone() for k, v in state.model.state_dict().items()}
    assert any(not torch.equal(v, state.average.weights[k]) for k, v in before.items())
    with averaged(state, recipe):
        assert not state.model.training
        for name, value in state.model.state_dict().items():
            assert torch.equal(value, state.average.weights[name])
    assert state.model.training
    for name, value in state.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_resumed_run_knows_the_best_so_far(recipe, tmp_path):
    state, _ = trained(tmp_path / "run", recipe)
    folder = RunFolder(tmp_path / "run")
    folder.log_validation({"step": 4, "score": 99.0})
    validation = Validation(source(recipe), recipe, folder)
    objective = Objective(state.model, recipe, choose_rasterizer("cpu", torch.device("cpu"), 1))
    assert validation(objective, state)["score"] < 99
    assert not (folder.path / BEST_NAME).exists()
    folder.rewind(3)
    assert folder.validations() == []


def test_the_proposals_stage_is_judged_by_its_occupancy(tmp_path):
    recipe = tiny_recipe(stage="proposal", steps=1)
    folder = RunFolder(tmp_path / "run")
    folder.start(recipe, {})
    validation = Validation(source(recipe), recipe, folder)
    train(recipe, source(recipe), folder, validate=validation)
    record = folder.validations()[0]
    assert "views_6_psnr" not in record
    kinds = [record[f"{name}_iou"] for name in ("views_6", "views_12", "drawn")]
    assert record["score"] == pytest.approx(sum(kinds) / 3)
