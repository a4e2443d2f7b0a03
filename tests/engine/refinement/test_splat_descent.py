"""Parameters, gradients and Adam of the descent on splats."""

from dataclasses import replace

import numpy as np
import pytest
from samples.photographed_ball import ball, photographs, ring

from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.refinement.splat_descent import (
    ALPHA_SHARE,
    FLOOR,
    HUBER,
    HUBER_SLOPE,
    RATES,
    SQUARE_SHARE,
    HostSplatDescent,
    gradients,
    step_adam,
    to_gaussians,
    to_parameters,
)
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.rendering.render import render

BALL, RING = ball(60), ring()


def test_parameters_and_back():
    back = to_gaussians(to_parameters(BALL), BALL)
    for name in ("means", "opacities", "scales", "quats", "colors"):
        np.testing.assert_allclose(getattr(back, name), getattr(BALL, name), atol=1e-5)
    opaque = replace(BALL, opacities=np.ones(len(BALL), np.float32))
    assert np.isfinite(to_parameters(opaque)["logits"]).all()


def test_the_first_step_of_adam_is_the_rate():
    gradient = np.float32([2.0, -30.0, 0.0])
    values, mean, square = (np.zeros(3, np.float32) for _ in range(3))
    step_adam(values, mean, square, gradient, 0.1, 0)
    np.testing.assert_allclose(values, [-0.1 * 2 / (2 + FLOOR), 0.1 * 30 / (30 + FLOOR), 0], 1e-5)


def test_an_array_of_rates_is_one_for_each_part_of_a_splat():
    values, mean, square = (np.zeros((5, 2, 3), np.float32) for _ in range(3))
    gradient = np.full_like(values, 7)
    step_adam(values, mean, square, gradient, np.float32([[[0.1], [0.3]]]), 0, 2)
    np.testing.assert_allclose(values[:, 0], -0.1 * 7 / (7 + FLOOR), 1e-5)
    np.testing.assert_allclose(values[:, 1], -0.3 * 7 / (7 + FLOOR), 1e-5)


def loss(scene, targets, background):
    """What the gradients to the images are those of."""
    cameras = RING[[0, 1]]
    drawn = render(scene, cameras, (64, 64), background=background.tolist())
    error = drawn.rgb - targets.premultiplied - (1 - targets.alpha[..., None]) * background
    far = np.abs(error) - HUBER / 2
    huber = np.where(np.abs(error) < HUBER, error**2 / (2 * HUBER), far)
    of_alpha = ALPHA_SHARE / 2 * (drawn.alpha - targets.alpha) ** 2
    return float((HUBER_SLOPE * huber + SQUARE_SHARE / 2 * error**2).sum() + of_alpha.sum())


@pytest.mark.parametrize("name", ["means", "logits", "log_scales", "color"])
def test_gradients_are_those_of_the_loss(name):
    targets = Targets.of(photographs(BALL, RING))
    start = replace(BALL, scales=BALL.scales * 0.8, opacities=BALL.opacities * 0.6)
    background = np.float32([0.2, 0.5, 0.9])
    parameters = to_parameters(start)
    found, to_cameras = gradients(start, targets, [0, 1], background, None, 2)
    assert to_cameras is None
    direction = np.random.default_rng(0).normal(size=parameters[name].shape)
    sides = []
    for sign in (1, -1):
        moved = {**parameters, name: np.float32(parameters[name] + sign * 1e-3 * direction)}
        sides.append(loss(to_gaussians(moved, start), targets[[0, 1]], background))
    expected = (sides[0] - sides[1]) / 2e-3
    # A splat ends where alpha is 1/255: that edge moves too, by some per cent of the loss.
    np.testing.assert_allclose((found[name] * direction).sum(), expected, rtol=0.1)


def test_pixels_of_a_small_image_count_for_several_where_cameras_move():
    targets, black = Targets.of(photographs(BALL, RING)), np.zeros(3, np.float32)
    start = replace(BALL, opacities=BALL.opacities * 0.6)
    (plain, _), (weighed, to_cameras) = (
        gradients(start, targets, [0, 1], black, w2c, 2)
        for w2c in (None, targets.frame.w2c[[0, 1]])
    )
    area = (REFERENCE_SIZE / 64) ** 2
    np.testing.assert_allclose(weighed["means"], area * plain["means"], rtol=1e-3, atol=1e-3)
    assert to_cameras.shape == (2, 8)


def test_steps_move_all_that_is_optimised():
    targets = Targets.of(photographs(BALL, RING))
    start = replace(BALL, opacities=BALL.opacities * 0.6)
    descent = HostSplatDescent(start, targets, RATES, 2)
    assert descent.step([0, 3], np.ones(3, np.float32), 1.0, None) is None
    once = descent.gaussians()
    assert descent.step([1], np.ones(3, np.float32), 1.0, targets.frame.w2c[[1]]).shape == (1, 8)
    for name in ("means", "opacities", "scales", "colors"):
        assert np.abs(getattr(once, name) - getattr(start, name)).max() > 1e-4, name
        assert not np.array_equal(getattr(descent.gaussians(), name), getattr(once, name))


def test_opacities_are_numbers_however_far_a_logit_goes():
    scene = ball()
    parameters = to_parameters(scene)
    parameters["logits"][:2] = [-200, 200]
    with np.errstate(all="raise", under="ignore"):
        made = to_gaussians(parameters, scene)
    assert made.opacities[0] < 1e-30 and made.opacities[1] == 1
    np.testing.assert_allclose(made.opacities[2:], scene.opacities[2:], rtol=1e-5)
