import json
from dataclasses import replace

import pytest
import torch
from samples.training import tiny_recipe

from geolrm import InputError
from geolrm.training import launch
from geolrm.training.launch import Launch
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


def test_something_must_be_left_to_train_on(tmp_path):
    asked = replace(options(tmp_path, validation=3), data=("procedural:3",))
    with pytest.raises(InputError) as caught:
        launch.load_data(asked)
    assert str(caught.value) == (
        "--validation is 3, but 'procedural:3' has 3 objects; leave some to train on"
    )
