import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness.data import DATA
from samples.tiny_models import tiny_config, tiny_model

from geolrm.export.model import GeoLRM, GeoLRMConfig, TransformerConfig, mini, released
from geolrm.export.model.attention import attend_heads, rope_table, rotate
from geolrm.export.model.encoder import resample_position_embedding
from geolrm.export.model.geometry import pluecker_rays, project, projection_matrices

VECTORS = np.load(DATA / "conformance" / "unit_vectors.npz")


def vector(name):
    return torch.from_numpy(VECTORS[name])


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


@pytest.mark.parametrize("size", [224, 448, 504, 518, 560])
def test_position_embedding_follows_the_pinned_rule(size):
    resampled = resample_position_embedding(vector("pos518"), size // 14)
    np.testing.assert_allclose(resampled, VECTORS[f"pos_{size}_tf4341"], atol=1e-6)


def test_rope_equals_the_reference():
    for x, position, expected in zip(
        vector("rope_in"), vector("rope_pos"), vector("rope_out_base10000"), strict=True
    ):
        np.testing.assert_allclose(rotate(x, *rope_table(position, 24)), expected, atol=1e-6)


def test_rays_go_through_pixel_centres():
    c2w, intrinsics = vector("zero123plus_r1.5_c2ws"), vector("zero123plus_r1.5_Ks")
    rays = pluecker_rays(intrinsics, c2w, 6, normalise=False)[:1]
    side = 6
    pixel = torch.tensor([4, 1])  # column, row
    focal = intrinsics[0, 0, 0] * side
    camera = torch.tensor([(pixel[0] + 0.5 - 3) / focal, -(pixel[1] + 0.5 - 3) / focal, -1.0])
    direction = c2w[0, :3, :3] @ camera
    moment = torch.linalg.cross(c2w[0, :3, 3], direction)
    np.testing.assert_allclose(rays[0, :3, 1, 4], direction, atol=1e-6)
    np.testing.assert_allclose(rays[0, 3:, 1, 4], moment, atol=1e-6)
    unit = pluecker_rays(intrinsics, c2w, 6, normalise=True)[:, :3]
    np.testing.assert_allclose(unit.norm(dim=1), 1, atol=1e-6)


def test_projection_flips_u_only():
    c2w = torch.eye(4)[None].clone()
    c2w[0, 2, 3] = 2.0  # above the origin, looking down
    intrinsics = torch.tensor([[[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]]])
    uv = project(torch.tensor([[0.1, 0.2, 0.0]]), projection_matrices(intrinsics, c2w))
    np.testing.assert_allclose(uv[0, 0], [0.5 + 1.2 * 0.05, 0.5 - 1.2 * 0.1], atol=1e-6)


def test_head_attention_is_the_stated_shuffle():
    tokens, heads, width = 7, 3, 4
    q, k, v = torch.randn(3, tokens, heads, width)
    out = attend_heads(q, k, v)
    for t in range(tokens):
        for u in range(heads):
            n = t * heads + u
            token, head = n % tokens, n // tokens
            weights = torch.softmax(k[token] @ q[token, head] / width**0.5, dim=0)
            expected = weights @ v[token]
            np.testing.assert_allclose(out[t, u * width : (u + 1) * width], expected, atol=1e-5)


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


def test_centred_offsets_surround_the_anchor():
    result = run(SWITCHES["centred offsets"](tiny_config()))
    offsets = result.gaussians.means.view(-1, 4, 3) - result.anchors[:, None]
    assert offsets.min() < -0.01 and offsets.abs().max() <= 0.1 + 1e-6
    one_sided = run(tiny_config())
    offsets = one_sided.gaussians.means.view(-1, 4, 3) - one_sided.anchors[:, None]
    assert offsets.min() >= 0 and offsets.max() <= 0.2 + 1e-6


def test_head_ignores_rope_and_token_does_not():
    config = tiny_config("head")
    for variant, expected in (("head", True), ("token", False)):
        results = [
            run(config.with_self_attention(variant, scale)).gaussians.opacities
            for scale in (0.5, 1.0)
        ]
        assert torch.equal(*results) is expected


def test_presets():
    assert released().encoder.level_shapes(448) == ((112, 112), (64, 64))
    assert released().padded_tokens == 8192 and mini().padded_tokens is None
    assert released().proposal.transformer.ffn_dim == 1024
    assert released().reconstruction.transformer.ffn_dim == 2048


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransformerConfig(50, 2, num_heads=16), "dim 50 must be a multiple of num_heads"),
        (
            lambda: TransformerConfig(64, 2, num_heads=16, self_attention="token"),
            "head width 4 must be a multiple of 6",
        ),
        (lambda: replace(released(), image_size=450), "image_size 450 must be a positive multiple"),
        (lambda: TransformerConfig(96, 1, self_attention="x"), "must be 'token' or 'head'"),
    ],
)
def test_broken_configurations_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
