import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from samples.training import run, tiny_recipe

from geolrm import InputError
from geolrm.export.checkpoint import load_checkpoint
from geolrm.export.model import SplatUpdateConfig
from geolrm.training import launch
from geolrm.training.launch import Launch
from geolrm.training.ranks import Process
from geolrm.training.run_folder import RunFolder


def options(tmp_path, **fields):
    return Launch(tiny_recipe(steps=5), ("procedural:1",), tmp_path / "run", **fields)


@pytest.mark.parametrize(
    ("fields", "processes", "expected"), [({}, 2, 4), ({}, 99, 1), ({"threads": 3}, 2, 3)]
)
def test_cores_are_shared_out(tmp_path, monkeypatch, fields, processes, expected):
    monkeypatch.setattr(launch, "usable_cores", lambda: 8)
    assert launch.threads(options(tmp_path, **fields), processes) == expected


def test_the_device_is_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert launch.device_kind(options(tmp_path)) == "cpu"
    assert launch.device("cpu", 3) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(launch.gsplat_backend, "import_gsplat", lambda: None)
    assert launch.device_kind(options(tmp_path)) == "cuda"
    with pytest.raises(InputError, match="--processes is 3, but there are 2 CUDA devices"):
        launch.device_kind(options(tmp_path, processes=3))


def test_what_a_run_came_to(tmp_path):
    asked = options(tmp_path)
    assert launch.summary(asked, 0, False)["loss"] is None
    RunFolder(asked.folder).start(asked.recipe, {})
    RunFolder(asked.folder).log({"step": 0, "total": 2.5})
    told = json.loads(json.dumps(launch.summary(asked, 1, False)))
    assert (told["step"], told["steps"], told["done"], told["loss"]) == (1, 5, False, 2.5)


def test_a_run_of_another_recipe_is_refused_before_anything_starts(tmp_path, monkeypatch):
    asked = options(tmp_path, device="cpu")
    RunFolder(asked.folder).start(tiny_recipe(steps=5, seed=9), {})
    monkeypatch.setattr(launch, "run_processes", lambda *_: pytest.fail("it was started"))
    with pytest.raises(InputError, match="holds a run of another recipe"):
        launch.launch(asked)


def test_objects_are_set_aside_or_left_out_by_name(tmp_path):
    data = ("procedural:6", "procedural:4")
    asked = replace(options(tmp_path, validation=2, left_out=("shape3", "shape5")), data=data)
    source, aside = launch.load_data(asked)
    assert len(aside) == 2 and not {"shape3", "shape5"} & {*aside.names, *source.names}
    assert not set(aside.names) & set(source.names)
    assert len(source) == 4 - 2 + sum(f"shape{i}" not in aside.names for i in (0, 1, 2))
    assert launch.load_data(replace(asked, validation=0))[1] is None


def test_an_update_network_that_the_checkpoint_lacks_is_made_by_the_seed(tmp_path):
    trained = tiny_recipe(steps=1)
    run(tmp_path / "trained", trained)
    update = SplatUpdateConfig(width=8, shared=4, steps=1)
    refined = tiny_recipe(replace(trained.model, update=update), steps=1, stage="refinement")
    found = []
    for index, seed in enumerate((0, 0, 1)):
        torch.manual_seed(index)  # whatever was drawn before
        folder = tmp_path / str(index)
        weights = tmp_path / "trained" / "weights.safetensors"
        asked = Launch(
            replace(refined, seed=seed), ("procedural:1",), folder, initial=weights, quiet=True
        )
        launch.work(asked, Process())
        found.append(load_file(folder / "weights.safetensors"))
    name = "splat_update.read.0.weight"
    assert torch.equal(found[0][name], found[1][name])
    assert not torch.equal(found[0][name], found[2][name])
    again, _, _ = load_checkpoint(tmp_path / "0" / "weights.safetensors", trained.model)
    assert again.splat_update is None  # loads into a recipe without one


def test_something_must_be_left_to_train_on(tmp_path):
    asked = replace(options(tmp_path, validation=3), data=("procedural:3",))
    with pytest.raises(InputError) as caught:
        launch.load_data(asked)
    assert str(caught.value) == (
        "--validation is 3, but 'procedural:3' has 3 objects; leave some to train on"
    )
