"""The score that forgives a rigid motion."""

import numpy as np
from samples.photographed_ball import ball, ring

from geolrm.bench.photos.wrong_poses import best_psnr
from geolrm.engine.geometry.motions import motion
from geolrm.engine.rendering.render import render


def test_a_rigid_motion_of_the_splats_costs_nothing():
    scene, cameras = ball(), ring()
    truths = render(scene, cameras, (64, 64)).rgb.clip(0, 1)
    moved = scene.transformed(motion([0.02, 0.01, -0.02], np.array([0.01, 0, 0.01]), np.zeros(3)))
    drawn = render(moved, cameras, (64, 64)).rgb.clip(0, 1)
    assert -10 * np.log10(np.mean((drawn - truths) ** 2)) < 33
    assert best_psnr(moved, cameras, truths, 2) > 45
