"""One similarity, fitted to held-out views."""

import numpy as np
import pytest
from samples.known_shapes import make_splats
from samples.photographed_ball import ball, ring

from geolrm.bench.quality.similarity_fit import best_psnr, fit_similarity
from geolrm.engine.geometry.motions import motion
from geolrm.engine.rendering.render import render


@pytest.mark.parametrize("scale", [1.0, 1.01, 0.99])
def test_a_similarity_of_the_splats_costs_nothing(scale):
    scene, cameras = ball(), ring()
    truths = render(scene, cameras, (64, 64)).rgb.clip(0, 1)
    aside = motion([0.02, 0.01, -0.02], np.array([0.01, 0, 0.01]), np.zeros(3))
    moved = scene.transformed(aside @ np.diag([scale, scale, scale, 1.0]))
    drawn = render(moved, cameras, (64, 64)).rgb.clip(0, 1)
    assert -10 * np.log10(np.mean((drawn - truths) ** 2)) < 33
    assert best_psnr(moved, cameras, truths, 2) > 45
    matrix, score = fit_similarity(moved, cameras, truths, 2)
    assert score == best_psnr(moved, cameras, truths, 2)
    back = render(moved.transformed(matrix), cameras, (64, 64)).rgb.clip(0, 1)
    assert -10 * np.log10(np.mean((back - truths) ** 2)) == pytest.approx(score, abs=0.1)
    linear = scale * matrix[:3, :3]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=2e-3)


def test_a_scene_in_its_place_stays_there():
    scene, cameras = ball(), ring()
    truths = render(scene, cameras, (64, 64)).rgb.clip(0, 1)
    matrix, score = fit_similarity(scene, cameras, truths, 2)
    np.testing.assert_allclose(matrix, np.eye(4), atol=1e-3)
    assert score > 60


def test_a_scene_that_no_view_shows_stays_where_it_is():
    scene = make_splats(np.array([[0.0, 0.0, 50.0]]), np.zeros((1, 3)), 1e-3)
    cameras = ring()
    truths = render(ball(), cameras, (64, 64)).rgb.clip(0, 1)
    matrix, score = fit_similarity(scene, cameras, truths, 2)
    np.testing.assert_array_equal(matrix, np.eye(4))
    assert score == pytest.approx(-10 * np.log10(np.mean((1 - truths) ** 2)), abs=1e-3)
