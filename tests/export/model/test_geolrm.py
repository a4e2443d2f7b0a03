import json
from dataclasses import replace

import pytest
import torch
from harness.data import DATA
from samples.tiny_models import tiny_config, tiny_model

from geolrm.export.model import GeoLRM, GeoLRMConfig, released


@pytest.fixture(scope="module")
def released_state():
    with torch.device("meta"):
        return GeoLRM(released()).state_dict()


def test_released_model_has_exactly_the_920_published_tensors(released_state):
    shapes = json.loads((DATA / "conformance" / "full_shapes.json").read_text())
    assert len(released_state) == len(shapes) == 920
    assert {key: list(tensor.shape) for key, tensor in released_state.items()} == shapes


def test_released_model_has_334_million_parameters(released_state):
    floats = sum(t.numel() for t in released_state.values() if t.is_floating_point())
    assert floats == 334_559_376


def run(config: GeoLRMConfig, change=None):
    torch.manual_seed(0)
    model = tiny_model(config)
    views = config_views(config)
    if change:
        change(model, views)
    with torch.inference_mode():
        return model(*views)


def config_views(config):
    from geolrm import Cameras

    cameras = Cameras.orbit([0, 120, 240], [10, 20, 30], 1.7, 50)
    torch.manual_seed(1)
    images = torch.rand(3, 3, config.image_size, config.image_size)
    return [
        images,
        torch.from_numpy(cameras.c2w).float(),
        torch.from_numpy(cameras.intrinsics).float(),
    ]


def with_block(config, **fields):
    return replace(
        config,
        proposal=replace(
            config.proposal, transformer=replace(config.proposal.transformer, **fields)
        ),
        reconstruction=replace(
            config.reconstruction, transformer=replace(config.reconstruction.transformer, **fields)
        ),
    )


SWITCHES = {
    "paper residual": lambda c: with_block(c, cross_attention_residual="stream"),
    "without RoPE": lambda c: with_block(c, use_rope=False),
    "no sampling points": lambda c: with_block(c, num_points=0),
    "five sampling points": lambda c: with_block(c, num_points=5),
    "unit rays": lambda c: replace(c, encoder=replace(c.encoder, rays="unit")),
    "without rays": lambda c: replace(c, encoder=replace(c.encoder, rays="none")),
    "without low level": lambda c: replace(c, encoder=replace(c.encoder, use_low_level=False)),
    "without high level": lambda c: replace(c, encoder=replace(c.encoder, use_high_level=False)),
    "without batch norm": lambda c: replace(c, encoder=replace(c.encoder, batch_norm=False)),
    "shared encoder": lambda c: replace(c, shared_encoder=True),
    "centred offsets": lambda c: replace(
        c, reconstruction=replace(c.reconstruction, centred_offsets=True)
    ),
    "spherical harmonics": lambda c: replace(
        c, reconstruction=replace(c.reconstruction, use_sh=True)
    ),
    "patch size": lambda c: replace(c, encoder=replace(c.encoder, patch_size=8)),
    "head": lambda c: c.with_self_attention("head"),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_changes_the_result_and_stays_finite(name):
    base, switched = run(tiny_config()), run(SWITCHES[name](tiny_config()))
    for tensor in switched.gaussians:
        assert torch.isfinite(tensor).all()
    same = base.gaussians.means.shape == switched.gaussians.means.shape and torch.equal(
        base.gaussians.means, switched.gaussians.means
    )
    colors = switched.gaussians.colors.shape != base.gaussians.colors.shape
    assert not same or colors


def test_head_ignores_rope_and_token_does_not():
    config = tiny_config("head")
    for variant, expected in (("head", True), ("token", False)):
        results = [
            run(config.with_self_attention(variant, scale)).gaussians.opacities
            for scale in (0.5, 1.0)
        ]
        assert torch.equal(*results) is expected
