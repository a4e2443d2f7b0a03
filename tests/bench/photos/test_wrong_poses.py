"""Wrong poses drawn, and the score that forgives a rigid motion."""

import numpy as np
import pytest
from samples.photographed_ball import ball, ring

from geolrm.bench.photos.wrong_poses import best_psnr, wrong_poses
from geolrm.engine.geometry.motions import motion, rotation_vector
from geolrm.engine.rendering.render import render


def test_noise_has_the_stated_root_mean_square_and_is_the_same_each_time():
    cameras = ring(400)
    wrong = wrong_poses(cameras, 2.0, 1.0)
    turns = np.linalg.inv(cameras.c2w[:, :3, :3]) @ wrong.c2w[:, :3, :3]
    angles = [np.linalg.norm(rotation_vector(turn)) for turn in turns]
    assert np.rad2deg(np.sqrt(np.mean(np.square(angles)))) == pytest.approx(2.0, rel=0.1)
    moves = np.linalg.norm((wrong.c2w - cameras.c2w)[:, :3, 3], axis=1)
    assert np.sqrt(np.mean(moves**2)) == pytest.approx(0.01, rel=0.1)
    assert wrong_poses(cameras, 2.0, 1.0).c2w.tobytes() == wrong.c2w.tobytes()


def test_a_rigid_motion_of_the_splats_costs_nothing():
    scene, cameras = ball(), ring()
    truths = render(scene, cameras, (64, 64)).rgb.clip(0, 1)
    moved = scene.transformed(motion([0.02, 0.01, -0.02], np.array([0.01, 0, 0.01]), np.zeros(3)))
    drawn = render(moved, cameras, (64, 64)).rgb.clip(0, 1)
    assert -10 * np.log10(np.mean((drawn - truths) ** 2)) < 33
    assert best_psnr(moved, cameras, truths, 2) > 45
