"""Geometric cues: the arithmetic against numbers and slow truths, and the switches as graphs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples.tiny_models import one_layer, tiny_config, tiny_model, write_tiny

from geolrm import Cameras, Engine
from geolrm.engine.geometry.voxel_grid import voxel_centres
from geolrm.engine.views.preprocessing import make_views
from geolrm.export.model import CueConfig, SplatUpdateConfig, cues
from geolrm.export.model.geometry import project, projection_matrices
from geolrm.export.model.volume import as_volume, unfold_queries

GRID = 16


def projections(count=3):
    rng = np.random.default_rng(count)
    cameras = Cameras.orbit(rng.uniform(0, 360, count), rng.uniform(-60, 80, count), 1.8, 50)
    return projection_matrices(
        torch.from_numpy(cameras.intrinsics).float(), torch.from_numpy(cameras.c2w).float()
    )


def test_depth_and_projection_of_frustum_points_come_back():
    """Cell (k, j, i) of a frustum lies at the centre of its column, row and depth."""
    projection = projections()
    points = cues.frustum_points(projection, 8)
    cells = (np.arange(8) + 0.5) / 8
    for view in range(3):
        flat = points[view].reshape(-1, 3)
        one = projection[view : view + 1]
        uv = project(flat, one)[0].reshape(8, 8, 8, 2)
        depth = cues.camera_depth(flat, one)[0].reshape(8, 8, 8)
        np.testing.assert_allclose(uv[..., 0], np.broadcast_to(cells, (8, 8, 8)), atol=2e-6)
        np.testing.assert_allclose(
            uv[..., 1], np.broadcast_to(cells[:, None], (8, 8, 8)), atol=2e-6
        )
        expected = 1.8 + cues.FRUSTUM_RADIUS * (2 * cells - 1)
        np.testing.assert_allclose(
            depth, np.broadcast_to(expected[:, None, None], (8, 8, 8)), atol=2e-6
        )


def test_inverse_by_the_adjugate():
    matrices = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 3, 3)))
    np.testing.assert_allclose(cues.invert_3x3(matrices), np.linalg.inv(matrices), atol=1e-12)


def test_volume_samples_are_exact_at_voxel_centres_and_zero_outside():
    rows = torch.from_numpy(np.random.default_rng(0).random((GRID**3, 2), np.float32))
    centres = torch.from_numpy(voxel_centres(GRID).reshape(-1, 3))
    volume = as_volume(rows, GRID)
    np.testing.assert_allclose(cues.sample_volume(volume, centres), rows, atol=1e-5)
    between = (centres[0] + centres[1])[None] / 2  # neighbours along z, the fastest axis
    np.testing.assert_allclose(
        cues.sample_volume(volume, between)[0], (rows[0] + rows[1]) / 2, atol=1e-5
    )
    outside = torch.tensor([[0.0, 0.0, 0.6]])
    np.testing.assert_array_equal(cues.sample_volume(volume, outside), 0)


def test_tokens_unfold_to_their_voxels():
    config = tiny_config().proposal
    side, res = config.queries_per_axis, config.token_res
    rows = torch.arange(side**3 * res**3, dtype=torch.float32).view(side**3, res**3)
    volume = unfold_queries(rows, config)[0, 0]
    token, inner = (0, 1, side - 1), (1, 0, res - 1)
    voxel = [t * res + i for t, i in zip(token, inner, strict=True)]
    flat_token = (token[0] * side + token[1]) * side + token[2]
    flat_inner = (inner[0] * res + inner[1]) * res + inner[2]
    assert volume[tuple(voxel)] == rows[flat_token, flat_inner]


def test_colour_statistics_are_weighted_mean_and_deviation():
    rng = np.random.default_rng(0)
    color, weight = rng.random((4, 6, 3), np.float32), rng.random((4, 6), np.float32)
    got = cues.color_statistics(torch.from_numpy(color), torch.from_numpy(weight)).numpy()
    share = weight / weight.sum(0)
    mean = (share[..., None] * color).sum(0)
    deviation = np.sqrt((share[..., None] * (color - mean) ** 2).sum(0))
    np.testing.assert_allclose(got[:, 0], weight.mean(0), rtol=1e-6)
    np.testing.assert_allclose(got[:, 1:4], mean, atol=1e-3)
    np.testing.assert_allclose(got[:, 4:], np.sqrt(deviation**2 + 1e-4), atol=1e-3)


def test_what_no_view_sees_has_finite_statistics():
    got = cues.color_statistics(torch.zeros(2, 3, 3), torch.zeros(2, 3))
    np.testing.assert_allclose(got, [[0, 0, 0, 0, 0.01, 0.01, 0.01]] * 3, atol=1e-6)


def test_outside_an_image_nothing_is_carved():
    alpha, inside = torch.tensor([[0.25, 0.0]]), torch.tensor([[True, False]])
    np.testing.assert_array_equal(cues.hull_alpha(alpha, inside), [[0.25, 1.0]])


def test_foreground_samples_are_straight_colours():
    """Premultiplied red at alpha 0.5 everywhere comes back as full red."""
    foreground = torch.zeros(1, 4, 8, 8)
    foreground[:, 0], foreground[:, 3] = 0.5, 0.5
    planes = cues.with_unknown(foreground, None)
    color, alpha, known = cues.sample_foreground(planes, torch.tensor([[[0.5, 0.5], [2.0, 0.5]]]))
    np.testing.assert_allclose(color[0], [[1, 0, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(alpha[0], [0.5, 0], atol=1e-6)
    assert known.all()  # outside of an image is another thing


def test_what_is_not_valid_takes_no_part_in_samples():
    """Red at alpha 0.5, of which the right half is not valid and so 0."""
    foreground, valid = torch.zeros(1, 4, 8, 8), torch.ones(1, 8, 8)
    foreground[..., :4], valid[..., 4:] = 0, 0
    foreground[:, 0, :, :4], foreground[:, 3, :, :4] = 0.5, 0.5
    planes = cues.with_unknown(foreground, valid)
    reference = torch.tensor([[[0.3, 0.5], [0.49, 0.5], [0.51, 0.5], [0.8, 0.5]]])
    color, alpha, known = cues.sample_foreground(planes, reference)
    assert known[0].tolist() == [True, True, False, False]
    np.testing.assert_allclose(alpha[0, :2], 0.5, atol=1e-6)  # at the border, too
    np.testing.assert_allclose(color[0, :2], [[1, 0, 0]] * 2, atol=1e-5)
    assert torch.equal(cues.known_points(valid, reference), known)
    moved = cues.away_from_unknown(reference, known)
    assert torch.equal(moved[:, :2], reference[:, :2]) and (moved[:, 2:] < -1).all()


def test_views_that_know_a_point_stand_for_those_that_do_not():
    known = torch.tensor([[True, True, False], [True, False, False], [True, True, False]])
    share = cues.share_of_known(known)
    np.testing.assert_array_equal(share, [[1, 1.5, 0], [1, 0, 0], [1, 1.5, 0]])


def test_a_view_of_which_nothing_is_known_says_nothing():
    """Whatever its features are, proposal and Gaussians are the same."""
    config = replace(
        tiny_config(batch_norm=False), shared_encoder=True, cues=CueConfig(volume_channels=8)
    )
    model = tiny_model(one_layer(config))
    cameras = Cameras.orbit([0.0, 100.0, 220.0], 10.0, 1.8, 50.0)
    projection = projection_matrices(
        torch.from_numpy(cameras.intrinsics).float(), torch.from_numpy(cameras.c2w).float()
    )
    generator = torch.Generator().manual_seed(0)
    valid = torch.ones(3, 56, 56)
    valid[1] = 0
    foreground = torch.rand(3, 4, 56, 56, generator=generator) * valid[:, None]
    pixels = sum(height * width for height, width in model.level_shapes)
    features = torch.randn(3, pixels, model.config.encoder.feature_dim, generator=generator)
    others = features.clone()
    others[1] = torch.randn(features.shape[1:], generator=generator)
    anchors = torch.rand(20, 3, generator=generator) - 0.5
    with torch.inference_mode():
        made = [model.propose(each, projection, foreground, valid) for each in (features, others)]
        assert torch.equal(made[0].logits, made[1].logits)
        gaussians = [
            model.reconstruct(each, projection, anchors, foreground, made[0].volume, valid)
            for each in (features, others)
        ]
        for name in gaussians[0]._fields:
            assert torch.equal(getattr(gaussians[0], name), getattr(gaussians[1], name)), name
        plain, marked = (
            model.propose(features, projection, foreground, mask)
            for mask in (None, torch.ones_like(valid))
        )
        assert torch.equal(plain.logits, marked.logits)
        assert not torch.equal(plain.logits, made[0].logits)


def test_a_wall_hides_what_is_behind_it_and_not_itself():
    """One camera on +x; a wall of voxels at x > 0.2 hides the voxels behind it alone."""
    cameras = Cameras.orbit([0.0], 0.0, 1.8, 50.0)
    projection = projection_matrices(
        torch.from_numpy(cameras.intrinsics).float(), torch.from_numpy(cameras.c2w).float()
    )
    centres = torch.from_numpy(voxel_centres(GRID))
    logits = torch.full((GRID, GRID, GRID), -20.0)
    wall = (centres[..., 0] > 0.15) & (centres[..., 0] < 0.25)
    logits[wall] = 8.0
    points = torch.tensor([[0.4, 0.0, 0.0], [0.22, 0.05, 0.05], [-0.3, 0.0, 0.1]])
    reference, depth = project(points, projection), cues.camera_depth(points, projection)
    transmitted = cues.transmittance(logits, projection)
    seen = cues.visibility(transmitted, projection, reference, depth, GRID)[0]
    assert seen[0] > 0.99 and seen[1] > 0.5 and seen[2] < 0.01


def test_transmittance_of_a_uniform_fog():
    """exp(-softplus(x) * length / voxel): the definition of the medium, along the optical axis."""
    cameras = Cameras.orbit([0.0], 0.0, 1.8, 50.0)
    projection = projection_matrices(
        torch.from_numpy(cameras.intrinsics).float(), torch.from_numpy(cameras.c2w).float()
    )
    logit = -2.0
    transmitted = cues.transmittance(torch.full((GRID, GRID, GRID), logit), projection)
    points = torch.tensor([[0.0, 0.0, 0.0], [-0.4, 0.0, 0.0]])
    reference, depth = project(points, projection), cues.camera_depth(points, projection)
    seen = cues.visibility(transmitted, projection, reference, depth, GRID)[0]
    lag = cues.OCCLUSION_LAG / (GRID - 1)
    density = np.log1p(np.exp(logit)) * (GRID - 1)
    expected = np.exp(-density * (0.5 - points[:, 0].numpy() - lag))
    np.testing.assert_allclose(seen, expected, rtol=0.06)  # of the frustum's steps


SWITCHES = [
    CueConfig(volume_channels=8),
    CueConfig(volume_channels=0, occlusion=False, pixel_colors=False),
]
MORE_SWITCHES = [  # each traced for ten seconds
    CueConfig(volume_channels=8, occlusion=False, statistics=False),
    CueConfig(volume_channels=8, occlusion=False),
    CueConfig(volume_channels=0, occlusion=False),
    CueConfig(volume_channels=0, occlusion=False, alpha_gate=False),
]


@pytest.mark.parametrize(
    "switches",
    [*SWITCHES, *(pytest.param(s, marks=pytest.mark.long) for s in MORE_SWITCHES)],
    ids=lambda c: f"{c}"[10:-1],
)
def test_every_switch_exports_and_the_engine_equals_torch(tmp_path, switches):
    config = replace(tiny_config(batch_norm=False), shared_encoder=True, cues=switches)
    model = tiny_model(one_layer(config))
    engine = Engine(write_tiny(model, tmp_path / "b"))
    rng = np.random.default_rng(0)
    cameras = Cameras.orbit(rng.uniform(0, 360, 4), rng.uniform(-30, 60, 4), 1.8, 50)
    alpha = (rng.random((4, 56, 56)) > 0.3).astype(np.float32)
    images = rng.random((4, 3, 56, 56), np.float32) * alpha[:, None] + (1 - alpha[:, None])
    views = make_views(images, cameras.c2w, cameras.intrinsics, alpha)
    valid = np.ones(alpha.shape, np.float32)
    valid[1, :, :20], valid[2, 40:] = 0, 0
    views = replace(views, valid=valid)
    anchors = rng.uniform(-0.4, 0.4, (33, 3)).astype(np.float32)
    features = engine.encode(views)
    proposal = engine.propose(features, views)
    gaussians = engine.reconstruct(features, views, anchors, proposal.volume)
    arrays = (views.images, views.c2w, views.intrinsics, views.projection, views.foreground)
    tensors = [torch.from_numpy(array) for array in arrays]
    with torch.inference_mode():
        truth_features, _ = model.encode(*tensors[:3])
        valid = torch.from_numpy(valid)
        expected = model.propose(truth_features, *tensors[3:], valid)
        truth = model.reconstruct(
            truth_features,
            tensors[3],
            torch.from_numpy(anchors),
            tensors[4],
            expected.volume,
            valid,
        )
    np.testing.assert_allclose(proposal.logits, expected.logits, atol=2e-4)
    for name in truth._fields:
        np.testing.assert_allclose(getattr(gaussians, name), getattr(truth, name), atol=2e-4)
    assert engine.reads_volume == (switches.volume_channels > 0)


def test_switches_that_exclude_each_other_are_refused():
    with pytest.raises(ValueError, match="occlusion needs statistics and volume_channels above 0"):
        CueConfig(volume_channels=0)
    with pytest.raises(ValueError, match="must be a multiple of 8"):
        CueConfig(volume_channels=12)
    config = tiny_config()
    with pytest.raises(ValueError, match="pixel_colors gives RGB, but use_sh asks for harmonics"):
        replace(
            config, cues=CueConfig(), reconstruction=replace(config.reconstruction, use_sh=True)
        )
    for name in ("update", "closing"):
        with pytest.raises(ValueError, match=f"{name} changes RGB, but use_sh asks for harmonics"):
            replace(
                config,
                reconstruction=replace(config.reconstruction, use_sh=True),
                **{name: SplatUpdateConfig()},
            )


def test_occupancy_bias_shifts_what_is_proposed_and_not_what_anchors_read(tmp_path):
    config = replace(tiny_config(batch_norm=False), shared_encoder=True)
    config = replace(config, cues=CueConfig(volume_channels=8))
    biased = replace(config, proposal=replace(config.proposal, occupancy_bias=0.5))
    model, other = tiny_model(config), tiny_model(biased)
    other.load_state_dict(model.state_dict())
    cameras = Cameras.orbit([0.0, 90.0], 10.0, 1.8, 50.0)
    views = make_views(np.ones((2, 3, 56, 56)), cameras.c2w, cameras.intrinsics)
    arrays = (views.images, views.c2w, views.intrinsics, views.projection, views.foreground)
    tensors = [torch.from_numpy(array) for array in arrays]
    with torch.inference_mode():
        features, _ = model.encode(*tensors[:3])
        plain, shifted = (m.propose(features, *tensors[3:]) for m in (model, other))
    np.testing.assert_allclose(shifted.logits - plain.logits, 0.5, atol=1e-6)
    np.testing.assert_array_equal(shifted.volume, plain.volume)
