"""One rigid motion, fitted to held-out views."""

import numpy as np
import pytest
from samples.photographed_ball import ball, ring

from geolrm.bench.quality.rigid_fit import best_psnr, fit_motion
from geolrm.engine.geometry.motions import motion
from geolrm.engine.rendering.render import render


def test_a_rigid_motion_of_the_splats_costs_nothing():
    scene, cameras = ball(), ring()
    truths = render(scene, cameras, (64, 64)).rgb.clip(0, 1)
    moved = scene.transformed(motion([0.02, 0.01, -0.02], np.array([0.01, 0, 0.01]), np.zeros(3)))
    drawn = render(moved, cameras, (64, 64)).rgb.clip(0, 1)
    assert -10 * np.log10(np.mean((drawn - truths) ** 2)) < 33
    assert best_psnr(moved, cameras, truths, 2) > 45
    matrix, score = fit_motion(moved, cameras, truths, 2)
    assert score == best_psnr(moved, cameras, truths, 2)
    back = render(moved.transformed(matrix), cameras, (64, 64)).rgb.clip(0, 1)
    assert -10 * np.log10(np.mean((back - truths) ** 2)) == pytest.approx(score, abs=0.1)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)


def test_a_scene_in_its_place_stays_there():
    scene, cameras = ball(), ring()
    truths = render(scene, cameras, (64, 64)).rgb.clip(0, 1)
    matrix, score = fit_motion(scene, cameras, truths, 2)
    np.testing.assert_allclose(matrix, np.eye(4), atol=1e-3)
    assert score > 60
