"""Checkpoints averaged with the one that their training went on from."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from samples.tiny_models import tiny_config, tiny_model

from geolrm import CheckpointError
from geolrm.engine.bundle.manifest import CONFIG_KEY, Range
from geolrm.export import backend_choice
from geolrm.export.averaging import average
from geolrm.export.command import export_checkpoint
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


def test_an_export_says_what_it_was_averaged_with(tmp_path):
    for name, model in (("a", shifted(tiny_model(CONFIG), 0.01)), ("b", begun())):
        state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
        metadata = {CONFIG_KEY: json.dumps(asdict(model.config)), "format": "pt"}
        save_file(state, tmp_path / f"{name}.safetensors", metadata)
    export_checkpoint(
        str(tmp_path / "a.safetensors"),
        tmp_path / "bundle",
        name="tiny",
        choice=backend_choice.choose("onnxruntime", "fp32", None),
        views=Range(1, 2, 4),
        tokens=None,
        image_size=None,
        self_attention=None,
        rope_scale=None,
        verify=False,
        progress=lambda line: None,
        average_with=str(tmp_path / "b.safetensors"),
    )
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    called = f"a.safetensors, averaged with {tmp_path / 'b.safetensors'}"
    assert manifest["source"]["checkpoint"] == called and manifest["update"]["steps"] == 3
    first, second, made = (
        load_file(file)
        for file in (
            tmp_path / "a.safetensors",
            tmp_path / "b.safetensors",
            tmp_path / "bundle" / "weights.safetensors",
        )
    )
    key = next(key for key in first if ".wq." in key and key in made)
    torch.testing.assert_close(made[key], (first[key] + second[key]) / 2)
