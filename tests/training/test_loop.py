"""What a loop tells while it runs; that it resumes to the same bits is in test_resume.py."""

from dataclasses import replace

import pytest
from samples.tiny_models import tiny_config
from samples.training import meshes, tiny_recipe

from geolrm import InputError
from geolrm.export.model import SplatUpdateConfig
from geolrm.training.loop import Intervals, train
from geolrm.training.run_folder import RunFolder
from geolrm.training.sources import EpisodeSource


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Steps of records and of images, in a run that is stopped after four of five steps."""
    recipe = tiny_recipe(steps=5)
    folder = RunFolder(tmp_path_factory.mktemp("loop") / "run")
    folder.start(recipe, {})
    source = EpisodeSource(meshes(), ["first", "second"], recipe)
    records, images, calls = [], [], iter([False, False, False, True])
    state = train(
        recipe, source, folder, intervals=Intervals(checkpoint_seconds=1e9, sample_steps=3),
        report=records.append, show=lambda step, *_: images.append(step),
        stop=lambda: next(calls),
    )  # fmt: skip
    return state, records, images, folder, source


def test_each_step_is_reported_and_logged(told):
    state, records, _, folder, _ = told
    assert state.step == 4 and [record["step"] for record in records] == [0, 1, 2, 3]
    assert {"rate", "gradient", "objects", "total", "mse", "occupancy", "iou", "seconds"} <= set(
        records[0]
    )
    assert folder.records() == records


def test_images_come_first_now_and_then_and_last(told):
    assert told[2] == [1, 3, 4]


def test_a_stop_saves_and_the_length_may_not_shrink(told):
    _, _, _, folder, source = told
    assert [file.stem for file in folder.checkpoints()] == ["step00000004"]
    with pytest.raises(InputError, match="is at step 4, beyond the 3 asked for; give more steps"):
        train(tiny_recipe(steps=3), source, folder)


@pytest.mark.parametrize(
    ("stage", "frozen"),
    [("reconstruction", "the proposal"), ("refinement", "the model that it refines")],
)
def test_what_is_frozen_must_be_trained(tmp_path, stage, frozen):
    recipe = tiny_recipe(replace(tiny_config(), update=SplatUpdateConfig()), stage=stage)
    folder = RunFolder(tmp_path / "run")
    folder.start(recipe, {})
    with pytest.raises(InputError) as caught:
        train(recipe, EpisodeSource(meshes(1), ["a"], recipe), folder)
    assert str(caught.value) == (
        f"stage is {stage!r}, which freezes {frozen}; give the checkpoint of a trained one with "
        "--initial"
    )
