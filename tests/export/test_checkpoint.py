import pickle
from dataclasses import replace

import pytest
import torch
from harness.data import DATA
from safetensors.torch import save_file
from samples.tiny_models import tiny_config, tiny_model

from geolrm import CheckpointError
from geolrm.engine.bundle.bundle import bundled_path
from geolrm.export.checkpoint import load_checkpoint, rename
from geolrm.export.model import SplatUpdateConfig, mini

CONFIG = tiny_config()


@pytest.fixture
def state():
    return {k: v.clone() for k, v in tiny_model(CONFIG).state_dict().items()}


def assert_same(model, state):
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[key]), key


def test_ckpt_and_safetensors(state, tmp_path):
    torch.save(state, tmp_path / "a.ckpt")
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.ckpt", "a.safetensors"):
        model, source, states_variant = load_checkpoint(tmp_path / name, CONFIG)
        assert_same(model, state)
        assert source.checkpoint == name and len(source.sha256) == 64 and source.trained
        assert states_variant
    with pytest.raises(CheckpointError, match="does not fit the model of 920 tensors"):
        load_checkpoint(tmp_path / "a.ckpt")  # without a stated configuration: released


def test_other_modules_and_nesting_are_ignored(state, tmp_path):
    torch.save({"state_dict": {**state, "lpips.net.0.weight": torch.ones(3)}}, tmp_path / "a.ckpt")
    assert_same(load_checkpoint(tmp_path / "a.ckpt", CONFIG)[0], state)


def test_newer_dino_names_load_alike(state, tmp_path):
    newer = {}
    for key, tensor in state.items():
        for old, new in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
            key = key.replace(f".attention.attention.{old}.", f".attention.{new}.")
        newer[key.replace(".attention.output.dense.", ".attention.o_proj.")] = tensor
    assert any("q_proj" in key for key in newer)
    torch.save(newer, tmp_path / "a.ckpt")
    assert_same(load_checkpoint(tmp_path / "a.ckpt", CONFIG)[0], state)
    own = "serializer.transformer.layers.0.self_attention.wq.weight"
    assert rename(own) == own


def test_missing_unexpected_and_misshapen_keys_are_named(state, tmp_path):
    del state["serializer.upsample.bias"]
    state["serializer.extra"] = torch.ones(1)
    state["lrm_generator.transformer.norm.weight"] = torch.ones(5)
    torch.save(state, tmp_path / "a.ckpt")
    message = (
        r"1 missing keys \(serializer.upsample.bias\); 1 unexpected keys \(serializer.extra\); "
        r"1 keys of another shape \(lrm_generator.transformer.norm.weight: \(5,\), expected "
        r"\(24,\)\)\. Use a checkpoint"
    )
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.ckpt", CONFIG)


def test_a_learned_refinement_goes_on_without_the_convolutions_it_had_not(state, tmp_path):
    update = SplatUpdateConfig(width=8, shared=4)
    older = tiny_model(replace(CONFIG, update=update)).state_dict()
    torch.save(older, tmp_path / "a.ckpt")
    config = replace(CONFIG, update=replace(update, cell_channels=3))
    made = load_checkpoint(tmp_path / "a.ckpt", config)[0]
    assert all(torch.equal(made.state_dict()[key], value) for key, value in older.items())
    assert not made.splat_update.cell_convolutions.tell.weight.any()
    newer = made.state_dict()
    del newer["splat_update.cell_convolutions.tell.bias"]
    torch.save(newer, tmp_path / "b.ckpt")
    with pytest.raises(CheckpointError, match=r"1 missing keys \(splat_update.cell_convolutions"):
        load_checkpoint(tmp_path / "b.ckpt", config)


def test_nan_is_refused(state, tmp_path):
    state["serializer.upsample.bias"][3] = float("nan")
    torch.save(state, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"NaN or infinity in serializer\.upsample\.bias"):
        load_checkpoint(tmp_path / "a.ckpt", CONFIG)


class Malicious:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("make", ["pickle", "truncated", "text", "list", "safetensors"])
def test_unreadable_files_are_refused_and_nothing_is_executed(make, state, tmp_path):
    path = tmp_path / ("a.safetensors" if make == "safetensors" else "a.ckpt")
    if make == "pickle":
        path.write_bytes(pickle.dumps({"serializer.x": Malicious()}))
    elif make == "truncated":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-1000])
    elif make == "list":
        torch.save([torch.ones(2)], path)
    else:
        path.write_text("no tensors here, only a sentence that is long enough for a header")
    with pytest.raises(CheckpointError, match=r"a\.(ckpt|safetensors)' (cannot be read|is no)"):
        load_checkpoint(path, CONFIG)


def test_missing_file():
    with pytest.raises(CheckpointError, match=r"no checkpoint at 'none\.ckpt'; give a \.ckpt"):
        load_checkpoint("none.ckpt")


def test_the_bundled_model_is_its_own_checkpoint():
    model, source, states_variant = load_checkpoint("mini")
    trained = mini()  # its threshold was chosen after training, at export
    trained = replace(trained, proposal=replace(trained.proposal, occupancy_bias=0.5))
    learned = {  # trained apart
        "update": SplatUpdateConfig(steps=14, cell_channels=24),
        "closing": SplatUpdateConfig(steps=1, views=64, cell_channels=24),
    }
    trained = replace(trained, **learned)
    assert model.config == trained and states_variant
    assert source.checkpoint == "weights.safetensors"
    assert bundled_path("mini").is_dir()


def test_conformance_weights_load_strictly():
    from geolrm.export.conformance.case import Case

    case = Case.load(DATA / "conformance" / "case_B")
    assert_same(case.model("head"), case.weights)
