"""Checkpoints averaged with the one that their training went on from."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file
from samples.tiny_models import tiny_config, tiny_model

from geolrm import CheckpointError
from geolrm.engine.bundle.manifest import CONFIG_KEY
from geolrm.export.averaging import average, main
from geolrm.export.checkpoint import load_checkpoint
from geolrm.export.model import GeoLRM, SplatUpdateConfig

CONFIG = tiny_config()
REFINED = replace(
    CONFIG,
    update=SplatUpdateConfig(steps=3),
    proposal=replace(CONFIG.proposal, occupancy_bias=0.5),
)


def shifted(model, by):
    """Add a number to each weight; those of one initialisation have such means by hand."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(by)
    return model


def begun():
    """The checkpoint that training went on from, with a learned refinement."""
    model = GeoLRM(REFINED).eval()
    state = tiny_model(CONFIG).state_dict()
    model.load_state_dict({**model.state_dict(), **state})
    return model


def test_weights_are_the_means_and_the_refinement_stays():
    origin = begun()
    kept = {key: tensor.clone() for key, tensor in origin.state_dict().items()}
    made = average(shifted(tiny_model(CONFIG), 0.25), origin, ("a", "b"))
    assert made.config == REFINED
    found = made.state_dict()
    assert any(key.startswith("splat_update.") for key in found)
    for key, tensor in found.items():
        moved = tensor.is_floating_point() and not key.startswith("splat_update.")
        expected = kept[key] + 0.125 if moved else kept[key]
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-6, msg=key)


def test_refinements_of_one_kind_are_averaged_and_others_stay():
    def refined(by, closing_steps):
        closing = SplatUpdateConfig(steps=closing_steps)
        torch.manual_seed(0)
        return shifted(GeoLRM(replace(REFINED, closing=closing)).eval(), by)

    origin = refined(0.0, closing_steps=1)
    kept = {key: tensor.clone() for key, tensor in origin.state_dict().items()}
    made = average(refined(0.25, closing_steps=2), origin, ("a", "b"))
    assert made.config.closing.steps == 1
    for key, tensor in made.state_dict().items():
        moved = tensor.is_floating_point() and not key.startswith("splat_closing.")
        expected = kept[key] + 0.125 if moved else kept[key]
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-6, msg=key)


def test_other_models_are_refused_by_what_differs():
    decoder = CONFIG.reconstruction
    more = replace(decoder, gaussians_per_anchor=decoder.gaussians_per_anchor + 1)
    other = replace(CONFIG, reconstruction=more)
    with pytest.raises(
        CheckpointError,
        match=r"^'a' and 'b' are of different models \(reconstruction.gaussians_per_anchor\); "
        "give a checkpoint that the training of the first went on from$",
    ):
        average(GeoLRM(other), begun(), ("a", "b"))


def write(model, file):
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    metadata = {CONFIG_KEY: json.dumps(asdict(model.config)), "format": "pt"}
    save_file(state, file, metadata)


def test_the_command_writes_a_checkpoint_of_its_own(tmp_path, capsys):
    files = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "c")]
    write(shifted(tiny_model(CONFIG), 0.25), files[0])
    write(begun(), files[1])
    main([str(files[0]), str(files[1]), "-o", str(files[2])])
    assert capsys.readouterr().out == f"the means of {files[0]} and {files[1]} -> {files[2]}\n"
    made = load_checkpoint(files[2])[0]
    assert made.config == REFINED
    expected = average(shifted(tiny_model(CONFIG), 0.25), begun(), ("a", "b")).state_dict()
    for key, tensor in made.state_dict().items():
        if not key.startswith("splat_update."):  # of another seed
            assert torch.equal(tensor, expected[key]), key


def test_a_refinement_of_the_further_training_is_left_out():
    made = average(begun(), tiny_model(CONFIG), ("a", "b"))
    assert made.config == CONFIG
    assert not any(key.startswith("splat_update.") for key in made.state_dict())
