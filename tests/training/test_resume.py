"""Runs that stop and go on equal those that never stopped; damage is named and passed over."""

import json
import math
import warnings
from dataclasses import replace

import pytest
import torch
from samples.tiny_models import tiny_config
from samples.training import (
    assert_equal_states,
    meshes,
    model_with_cues,
    run,
    tiny_recipe,
)

from geolrm.engine.errors import CheckpointError, InputError
from geolrm.export.checkpoint import load_checkpoint
from geolrm.training.data.prefetch import Prefetched
from geolrm.training.loop import TrainingDiverged
from geolrm.training.run_folder import RunFolder
from geolrm.training.sources import EpisodeSource

STEPS = 5


def stop_after(count):
    calls = iter(range(1, 100))
    return lambda: next(calls) == count


@pytest.fixture(scope="module")
def recipe():
    """Every source of chance: dropout, scattered views, true anchors early on."""
    config = tiny_config()
    transformer = replace(config.proposal.transformer, dropout=0.1)
    config = replace(config, proposal=replace(config.proposal, transformer=transformer))
    return tiny_recipe(config, steps=STEPS, precision="bf16", true_anchor_steps=4)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return *run(folder, recipe), folder


def timeless(records):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


def test_the_same_seed_gives_the_same_bits(recipe, whole, tmp_path):
    state, records = run(tmp_path / "run", recipe)
    assert_equal_states(state, whole[0])
    assert timeless(records) == timeless(whole[1])
    other, _ = run(tmp_path / "other", replace(recipe, seed=1))
    assert not torch.equal(*(next(s.model.parameters()) for s in (state, other)))


def test_a_resumed_run_equals_an_uninterrupted_one(recipe, whole, tmp_path):
    for count in (1, 2):  # after one step, then after two more
        run(tmp_path / "run", recipe, stop=stop_after(count))
    state, records = run(tmp_path / "run", recipe)
    assert_equal_states(state, whole[0])
    assert timeless(records) == timeless(whole[1])
    source = Prefetched(EpisodeSource(meshes(), ["first", "second"], recipe), workers=2)
    ahead, _ = run(tmp_path / "ahead", recipe, source)
    source.close()
    assert_equal_states(ahead, whole[0])


def test_weights_are_an_exportable_checkpoint(whole):
    state, _, folder = whole
    model, _, _ = load_checkpoint(folder / "weights.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state.average.weights[name]), name


def test_a_damaged_checkpoint_is_named_and_passed_over(recipe, whole, tmp_path):
    folder = tmp_path / "run"
    run(folder, recipe, stop=stop_after(3))
    newest, _ = RunFolder(folder).checkpoints()
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match=r"passing over .*step00000003.* it is damaged: its hash"):
        state, records = run(folder, recipe)
    assert_equal_states(state, whole[0])
    assert timeless(records) == timeless(whole[1])
    assert newest.with_name(newest.name + ".damaged").is_file()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(STEPS))


def test_without_a_sound_checkpoint_nothing_starts_anew(recipe, tmp_path):
    folder = tmp_path / "run"
    run(folder, recipe, stop=stop_after(2))
    for index, file in enumerate(RunFolder(folder).checkpoints()):
        if index:
            file.with_suffix(".json").write_text("{")
        else:
            file.write_bytes(file.read_bytes()[:1000])
    with (
        pytest.raises(CheckpointError, match="none of the 2 checkpoints in .* is sound; restore"),
        pytest.warns(UserWarning, match="passing over"),
    ):
        run(folder, recipe)


def test_a_checkpoint_of_another_model_is_refused(recipe, tmp_path):
    folder = tmp_path / "run"
    run(folder, recipe, stop=stop_after(1))
    (folder / "run.json").unlink()
    other = tiny_recipe(model_with_cues())
    with (
        pytest.raises(CheckpointError, match="none of the 1 checkpoints"),
        pytest.warns(UserWarning, match="it does not fit this model"),
    ):
        run(folder, other)


def test_a_folder_belongs_to_its_recipe(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start(recipe, {"commit": "one"})
    folder.start(replace(recipe, steps=9), {"commit": "two"})
    stored, versions = folder.described()
    assert stored == replace(recipe, steps=9)
    assert versions == [{"commit": "one"}, {"commit": "two"}]
    losses = replace(recipe.losses, mse=1.0)
    with pytest.raises(InputError, match=r"another recipe \(it differs in seed, losses\.mse\)"):
        folder.start(replace(recipe, losses=losses, seed=3), {})
    described = json.loads((folder.path / "run.json").read_text())
    del described["recipe"]["stage"], described["recipe"]["losses"]["lpips_weights"]
    (folder.path / "run.json").write_text(json.dumps(described))
    folder.start(recipe, {})  # fields of a later version had their defaults
    (folder.path / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run\.json' does not describe a run"):
        folder.start(recipe, {})


def test_other_objects_are_warned_of(tmp_path):
    folder = RunFolder(tmp_path)
    folder.check_data(["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder.check_data(["a", "b"])
    with pytest.warns(UserWarning, match="was started on other objects than these 1"):
        folder.check_data(["a"])


def test_no_number_stops_the_run(recipe, tmp_path):
    class Poisoned(EpisodeSource):
        def __getitem__(self, number):
            episode = super().__getitem__(number)
            if number == 2:
                episode.target_rgba[:] = math.nan
            return episode

    source = Poisoned(meshes(), ["first", "second"], recipe)
    with pytest.raises(TrainingDiverged) as caught:
        run(tmp_path / "run", recipe, source)
    text = str(caught.value)
    name = Poisoned.__getitem__(source, 2).name
    assert "training diverged at step 2: alpha, dissimilarity, " in text
    assert f"of the batch ({name}) is no number" in text
    assert "the last good checkpoint is" in text and "step00000002.safetensors" in text
    assert [record["step"] for record in RunFolder(tmp_path / "run").records()] == [0, 1]


def test_gaussians_that_are_no_numbers_stop_the_run(recipe, tmp_path):
    optimizer = replace(recipe.optimizer, learning_rate=1e30, warmup=0)
    with pytest.raises(TrainingDiverged, match=r"training diverged at step \d"):
        run(tmp_path / "run", replace(recipe, optimizer=optimizer))
