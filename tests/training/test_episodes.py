"""Examples from meshes and posed objects: geometry, chance, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples.tiny_models import tiny_config
from samples.training import meshes, posed_object, tiny_recipe

from geolrm.training.data.augmentation import AugmentationConfig
from geolrm.training.data.conditions import ConditionConfig
from geolrm.training.episodes import KEPT_POINTS, framed, input_cameras, mesh_episode
from geolrm.training.posed_episodes import posed_episode, resized, sampled, surface, varied
from geolrm.training.recipes import NO_AUGMENTATION


def recipe(grid=32, **fields):
    config = tiny_config()
    config = replace(config, proposal=replace(config.proposal, grid_size=grid))
    return tiny_recipe(config, augmentation=NO_AUGMENTATION, **fields)


@pytest.fixture(scope="module")
def posed():
    return posed_object(size=48)


def rng(seed=0):
    return np.random.default_rng(seed)


def assert_consistent(episode, share):
    """Target pixels lie, by their depth, in occupied voxels; inputs show the same silhouette."""
    depth, grid = episode.target_depth.numpy(), episode.occupancy.numpy()
    found = []
    for plane, w2c, k in zip(depth, episode.target_w2c, episode.target_intrinsics, strict=True):
        row, column = np.nonzero(plane)
        z = plane[row, column]
        rays = np.linalg.inv(k.numpy()) @ np.stack([column + 0.5, row + 0.5, np.ones_like(z)])
        points = np.linalg.inv(w2c.numpy()) @ np.vstack([rays * z, np.ones_like(z)])
        index = np.rint((points[:3] + 0.5) * (len(grid) - 1)).astype(int).clip(0, len(grid) - 1)
        found.append(grid[tuple(index)])
    assert np.concatenate(found).mean() > share
    alpha = episode.target_rgba[..., 3]
    assert (episode.target_rgba[..., :3] <= alpha[..., None] + 1e-5).all()
    assert 0 < alpha.mean() < 0.9
    assert ((episode.target_depth > 0).float() - alpha).abs().mean() < 0.05
    u_v = torch.from_numpy(np.argwhere(grid > 0) / (len(grid) - 1) - 0.5).float()
    uvz = episode.projection[:, :, :3] @ u_v.T + episode.projection[:, :, 3:]
    x, y = 1 - uvz[:, 0] / uvz[:, 2], uvz[:, 1] / uvz[:, 2]
    size = episode.foreground.shape[-1]
    inside = (x * size).long().clamp(0, size - 1), (y * size).long().clamp(0, size - 1)
    for view, (column, row) in enumerate(zip(*inside, strict=True)):
        assert episode.foreground[view, 3][row, column].mean() > 0.75


def test_points_of_the_surface_lie_where_it_is(posed):
    episodes = (
        mesh_episode(meshes()[0], "m", rng(), recipe()),
        posed_episode(posed, "p", rng(), recipe()),
    )
    for episode in episodes:
        grid, points = episode.occupancy.numpy(), episode.surface.numpy()
        index = np.rint((points + 0.5) * (len(grid) - 1)).astype(int).clip(0, len(grid) - 1)
        assert grid[tuple(index.T)].mean() > 0.99
        assert 500 < len(points) < 2 * KEPT_POINTS and points.dtype == np.float32


def test_mesh_episodes_agree_with_themselves():
    for seed in range(3):
        assert_consistent(mesh_episode(meshes()[0], "mesh", rng(seed), recipe()), 0.97)


def test_posed_episodes_agree_with_themselves(posed):
    exact = recipe()
    exact = replace(exact, views=replace(exact.views, target_size=posed.size))
    for seed in range(3):
        episode = posed_episode(posed, "posed", rng(seed), exact)
        assert_consistent(episode, 0.97)
        assert 2 <= len(episode.foreground) <= 3 and len(episode.target_rgba) == 2
    turned = replace(exact, augmentation=AugmentationConfig(spin=1.0, color=1.0))
    assert_consistent(posed_episode(posed, "posed", rng(5), turned), 0.97)


def test_targets_are_no_inputs(posed):
    fixed = recipe()
    fixed = replace(fixed, views=replace(fixed.views, min_inputs=30, max_inputs=60, targets=50))
    for scattered in (0.0, 1.0):
        views = replace(fixed.views, scattered=scattered)
        episode = posed_episode(posed, "posed", rng(), replace(fixed, views=views))
        inputs = torch.linalg.inv(episode.c2w.double())[:, :3, 3].numpy()
        targets = (np.diag([1, -1, -1.0]) @ episode.target_w2c[:, :3, 3:].numpy())[..., 0]
        poses = [tuple(np.round(p, 4)) for p in (*episode.c2w.flatten(1).numpy(),)]
        assert len(inputs) + len(targets) == len(posed) and len(set(poses)) == len(poses)


def test_colours_and_turns_of_posed_objects(posed):
    plain = varied(posed, rng(), NO_AUGMENTATION)
    np.testing.assert_array_equal(plain.rgba, posed.rgba)
    config = replace(NO_AUGMENTATION, color=1.0)
    colored = varied(posed, rng(), config)
    np.testing.assert_array_equal(colored.rgba[..., 3], posed.rgba[..., 3])
    assert np.abs(colored.rgba[..., :3].astype(int) - posed.rgba[..., :3]).mean() > 1
    turned = varied(posed, rng(1), replace(NO_AUGMENTATION, spin=1.0))
    for points in zip(turned.points, posed.points, strict=True):
        np.testing.assert_array_equal(*(np.sort(np.abs(p)) for p in points))


def test_pictures_are_reduced_by_area_and_depth_by_the_nearest(posed):
    rgba = posed.rgba[:2]
    small = resized(rgba, 24)
    alpha = rgba[..., 3].astype(float) / 255
    means = alpha.reshape(2, 24, 2, 24, 2).mean((2, 4))
    np.testing.assert_allclose(small[..., 3], means, atol=1e-5)
    np.testing.assert_array_equal(resized(rgba, 48)[..., 3], (rgba[..., 3] / np.float32(255)))
    depth = sampled(posed.depth[:2], 24)
    np.testing.assert_array_equal(depth, posed.depth[:2, 1::2, 1::2])
    assert len(surface(posed, 32)) > len(posed.points)


def framed_recipe(**views):
    plain = recipe()
    return replace(plain, views=replace(plain.views, min_inputs=6, max_inputs=6, **views))


def test_free_framing_sees_the_whole_object_at_many_fields_of_view():
    free = framed_recipe(free_framing=1.0, fields_of_view=(20.0, 75.0))
    fovs = []
    for seed in range(12):
        mesh = meshes()[seed % 2]
        cameras = framed(
            input_cameras(free.views, 1.8, rng(seed)), mesh.vertices, free.views, rng(seed)
        )
        assert_consistent(mesh_episode(mesh, "mesh", rng(seed), free), 0.97)
        fovs.append(np.rad2deg(2 * np.arctan(0.5 / cameras.intrinsics[0, 0, 0])))
        shown = np.einsum("vij,pj->vpi", cameras.world_to_camera[:, :3, :3], mesh.vertices)
        shown += cameras.world_to_camera[:, None, :3, 3]
        assert shown[..., 2].min() > 0
        spans = np.abs(shown[..., :2] / shown[..., 2:]).max((1, 2)) * cameras.intrinsics[:, 0, 0]
        assert 0.3 < spans.max() < 0.485  # of a half: close to the edge, and never beyond
    assert 20 <= min(fovs) < 35 and 65 < max(fovs) <= 75


def test_cameras_off_centre_stand_where_they_stood_and_look_past_it():
    off = framed_recipe(off_centre=1.0)
    mesh, chance = meshes()[0], rng(4)
    straight = input_cameras(off.views, 1.8, rng(1))
    cameras = framed(straight, mesh.vertices, off.views, chance)
    np.testing.assert_array_equal(cameras.c2w[:, :3, 3], straight.c2w[:, :3, 3])
    turns = np.einsum("vi,vi->v", cameras.c2w[:, :3, 2], straight.c2w[:, :3, 2])
    degrees = np.rad2deg(np.arccos(turns.clip(-1, 1)))
    assert degrees.max() > 3 and degrees.max() < 15 and degrees.min() > 0
    assert (np.einsum("vi,vi->v", cameras.c2w[:, :3, 1], straight.c2w[:, :3, 1]) > 0.9).all()


def test_hemispheres_are_spread_over_all_sides_but_the_lower():
    around = framed_recipe(hemispheres=1.0, scattered=0.0)
    views = replace(around.views, min_inputs=20, max_inputs=20)
    for seed in range(5):
        places = input_cameras(views, 2.0, rng(seed)).c2w[:, :3, 3] / 2
        assert places[:, 2].min() > -0.25 and places[:, 2].max() > 0.85
        cosines = places @ places.T - 2 * np.eye(20)
        assert cosines.max() < 0.999  # no two are the same view
        octants = {tuple(np.sign(place[:2])) for place in places}
        assert len(octants) == 4


def test_conditions_reach_the_example():
    plain = recipe()
    cut = replace(plain, conditions=ConditionConfig(cut=1.0, poses=1.0))
    episode = mesh_episode(meshes()[0], "mesh", rng(3), cut)
    assert episode.valid is not None and 0 < episode.valid.mean() < 1
    assert (episode.foreground.permute(0, 2, 3, 1)[episode.valid == 0] == 0).all()
    assert (episode.images.permute(0, 2, 3, 1)[episode.valid == 0] == 1).all()
    same = mesh_episode(meshes()[0], "mesh", rng(3), plain)
    assert torch.equal(same.target_rgba, episode.target_rgba) and same.valid is None
    assert not torch.equal(same.c2w, episode.c2w)
    assert episode.to(torch.device("cpu")).valid is not None
