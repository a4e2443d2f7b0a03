"""What one process alone does, and two of a refinement; torchrun is in test_interrupts.py."""

import contextlib
from dataclasses import replace

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


def refinement_recipe():
    update = SplatUpdateConfig(width=16, shared=4, steps=2, views=2)
    losses = LossConfig(occupancy=0, l1=0, mse=1, dissimilarity=0, alpha=0, depth_l1=0)
    model = replace(model_with_cues(), update=update)
    return tiny_recipe(model, steps=1, stage="refinement", losses=losses)


def learn(rank, port, options):
    """Train a step as one of two processes, and write what came out."""
    folder, recipe, initial = options
    method = f"tcp://127.0.0.1:{port}"
    ranks.dist.init_process_group("gloo", method, rank=rank, world_size=2)
    process = ranks.Process(rank, 2)
    state, _ = run(folder / str(rank), recipe, process=process, initial=initial)
    save_file(state.tensors(), folder / f"{rank}.safetensors")
    leave_group()


def test_processes_end_a_step_of_a_refinement_with_the_mean_of_what_each_learned(tmp_path):
    recipe = refinement_recipe()
    torch.manual_seed(3)
    initial = GeoLRM(recipe.model).state_dict()
    run_processes(learn, (tmp_path, recipe, initial), 2)
    together, other = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    apart = []
    for rank in range(2):  # as if nobody else were there
        process = ranks.Process(rank)
        state, _ = run(tmp_path / f"{rank} alone", recipe, process=process, initial=initial)
        apart.append(state.tensors())
    learned = [name for name in together if "splat_update." in name and ".step." not in name]
    assert {name.split(".")[0] for name in learned} == {"model", "average", "optimizer"}
    for name, tensor in together.items():
        assert torch.equal(tensor, other[name]), name
        mean = (apart[0][name] + apart[1][name]) / 2
        torch.testing.assert_close(tensor, mean, rtol=1e-5, atol=1e-9)
    assert any(not torch.equal(apart[0][name], apart[1][name]) for name in learned)
