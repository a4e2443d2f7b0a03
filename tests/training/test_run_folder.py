import json

import pytest
import torch
from samples.training import tiny_recipe

from geolrm.engine.errors import CheckpointError, InputError
from geolrm.training.optimizer import MovingAverage
from geolrm.training.run_folder import KEPT, RunFolder, read_checkpoint
from geolrm.training.state import TrainingState


def state(step=0):
    torch.manual_seed(step)
    model = torch.nn.Linear(2, 1)
    return TrainingState(
        model, torch.optim.AdamW(model.parameters()), MovingAverage(model, 0.9), step
    )


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start(tiny_recipe(), {"geolrm": "1"})
    return folder


def test_a_run_is_described_with_all_versions_that_worked_on_it(folder):
    recipe = tiny_recipe()
    for version in ("1", "2", "2", "1"):
        folder.start(recipe, {"geolrm": version})
    described, versions = folder.described()
    assert described == recipe and [v["geolrm"] for v in versions] == ["1", "2", "1"]


def test_another_recipe_is_refused_and_another_length_is_not(folder):
    folder.check(tiny_recipe(steps=99))
    other = tiny_recipe(seed=3, max_anchors=64)
    with pytest.raises(InputError, match=r"another recipe \(it differs in seed, max_anchors\)"):
        folder.check(other)


def test_folders_that_describe_no_run(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file' is a file; name a folder with -o"):
        RunFolder(tmp_path / "file").check(tiny_recipe())
    (folder.path / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"does not describe a run \(KeyError\)"):
        folder.check(tiny_recipe())


def test_the_last_checkpoints_are_kept_and_come_back(folder):
    for step in range(1, KEPT + 3):
        folder.save(state(step))
    names = [file.stem for file in folder.checkpoints()]
    assert names == [f"step{step:08d}" for step in range(KEPT + 2, 2, -1)]
    assert len(list((folder.path / "checkpoints").iterdir())) == 2 * KEPT  # each with its note
    target = state()
    assert folder.resume(target) and target.step == KEPT + 2
    assert torch.equal(target.model.weight, state(KEPT + 2).model.weight)


def test_damage_is_told_by_the_hash(folder):
    file = folder.save(state(1))
    tensors, step = read_checkpoint(file)
    assert step == 1 and "model.weight" in tensors
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="it is damaged: its hash is not the recorded one"):
        read_checkpoint(file)
    file.with_suffix(".json").write_text("{}")
    with pytest.raises(CheckpointError, match="it cannot be read: "):
        read_checkpoint(file)


def test_metrics_are_whole_lines_the_last_of_each_step(folder):
    for step, loss in ((0, 1.0), (1, 2.0), (1, 3.0), (2, 4.0)):
        folder.log({"step": step, "loss": loss})
    with (folder.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 3, "lo')
    assert [record["loss"] for record in folder.records()] == [1.0, 3.0, 4.0]
    folder.rewind(2)
    assert [record["step"] for record in folder.records()] == [0, 1]


def test_other_objects_are_warned_of(folder, recwarn):
    folder.check_data(["a", "b"])
    folder.check_data(["a", "b"])
    assert not recwarn
    with pytest.warns(UserWarning, match="was started on other objects than these 1"):
        folder.check_data(["c"])


def test_weights_carry_their_configuration(folder):
    from safetensors import safe_open

    file = folder.save_weights(state(1), tiny_recipe().model)
    with safe_open(file, "pt") as opened:
        (text,) = [v for k, v in opened.metadata().items() if k != "format"]
    assert json.loads(text)["image_size"] == 56
