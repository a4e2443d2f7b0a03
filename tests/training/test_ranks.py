"""What one process alone does, and two of a refinement; torchrun is in test_interrupts.py."""

import contextlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from samples.training import model_with_cues, run, tiny_recipe

from geolrm.export.model import GeoLRM, SplatUpdateConfig
from geolrm.training import ranks
from geolrm.training.config import LossConfig
from geolrm.training.processes import leave_group, run_processes


def test_one_process_has_nobody_to_agree_with():
    alone, module = ranks.Process(), torch.nn.Linear(1, 1)
    assert ranks.parallel(module, alone) is module
    assert isinstance(ranks.apart(module), contextlib.nullcontext)
    assert ranks.agreed(alone, True, False) == [True, False]
    assert ranks.gathered("a", alone) == ["a"]
    assert ranks.share(None, alone) is None


def test_processes_agree_through_the_group(monkeypatch):
    """As gloo would reduce: another process wishes for the second."""

    def all_reduce(flags, op):
        assert op == ranks.dist.ReduceOp.MAX
        flags.copy_(torch.maximum(flags, torch.tensor([0.0, 1.0, 0.0])))

    monkeypatch.setattr(ranks.dist, "all_reduce", all_reduce)
    assert ranks.agreed(ranks.Process(count=2), True, False, False) == [True, True, False]


def test_one_process_keeps_what_it_learned():
    assert ranks.average(None, ranks.Process()) is None


def refinement_recipe(steps):
    """Objects of few views, that eight steps are cut to six on, and of many."""
    update = SplatUpdateConfig(width=16, shared=4, steps=8, views=2)
    losses = LossConfig(occupancy=0, l1=0, mse=1, dissimilarity=0, alpha=0, depth_l1=0)
    model = replace(model_with_cues(), update=update)
    recipe = tiny_recipe(model, steps=steps, stage="refinement", losses=losses)
    return replace(recipe, views=replace(recipe.views, min_inputs=2, max_inputs=12))


def learn(rank, port, options):
    """Train as one of two processes, whole and stopped and resumed; write what came out."""
    folder, initial = options
    method = f"tcp://127.0.0.1:{port}"
    ranks.dist.init_process_group("gloo", method, rank=rank, world_size=2)
    together = {"process": ranks.Process(rank, 2), "initial": initial}
    state, _ = run(folder / f"one {rank}", refinement_recipe(1), **together)
    save_file(state.tensors(), folder / f"one {rank}.safetensors")
    state, _ = run(folder / f"whole {rank}", refinement_recipe(3), **together)
    save_file(state.tensors(), folder / f"whole {rank}.safetensors")
    run(folder / f"parts {rank}", refinement_recipe(3), stop=lambda: True, **together)
    state, _ = run(folder / f"parts {rank}", refinement_recipe(3), process=together["process"])
    save_file(state.tensors(), folder / f"parts {rank}.safetensors")
    leave_group()


@pytest.fixture(scope="module")
def initial():
    torch.manual_seed(3)
    return GeoLRM(refinement_recipe(1).model).state_dict()


@pytest.fixture(scope="module")
def learned(tmp_path_factory, initial):
    folder = tmp_path_factory.mktemp("ranks")
    run_processes(learn, (folder, initial), 2)
    return {file.stem: load_file(file) for file in folder.glob("*.safetensors")}


def test_processes_end_a_step_of_a_refinement_with_the_mean_of_what_each_learned(
    tmp_path, initial, learned
):
    apart = []
    for rank in range(2):  # as if nobody else were there
        process = ranks.Process(rank)
        state, _ = run(tmp_path / f"{rank}", refinement_recipe(1), process=process, initial=initial)
        apart.append(state.tensors())
    together = learned["one 0"]
    trained = [name for name in together if ".splat_update." in name]
    assert {name.split(".")[0] for name in trained} == {"model", "average", "optimizer"}
    counts = [next(v for n, v in each.items() if ".step." in n) for each in apart]
    assert sorted(map(int, counts)) == [6, 8]
    for name, tensor in together.items():
        mean = (apart[0][name] + apart[1][name]) / 2
        expected = torch.tensor(8.0) if ".step." in name else mean
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-9)
    assert any(not torch.equal(apart[0][name], apart[1][name]) for name in trained)


@pytest.mark.parametrize("other", ["whole 1", "parts 0", "parts 1"])
def test_processes_agree_and_a_resumed_run_equals_an_uninterrupted_one(learned, other):
    assert learned["whole 0"].keys() == learned[other].keys()
    for name, tensor in learned["whole 0"].items():
        assert torch.equal(tensor, learned[other][name]), name
