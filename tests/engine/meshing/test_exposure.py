"""Exposures: gains that are known are found again."""

import numpy as np

from geolrm.engine.formats.light import linear
from geolrm.engine.meshing.exposure import encoded, expose, find_gains


def seen(gains, noise=0.0, seed=0):
    """Colours [V, N, 3] and weights [V, N] of 400 points; each is seen by half of the views."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(0.05, 0.4, (400, 3))
    colors = encoded(light * np.asarray(gains)[:, None])
    colors = colors + noise * rng.standard_normal(colors.shape)
    weights = (rng.random(colors.shape[:2]) < 0.5).astype(np.float32)
    return colors.astype(np.float32), weights


def test_known_exposures_are_undone():
    gains = np.array([[1.0, 1.0, 1.0], [1.5, 1.4, 1.3], [0.7, 0.8, 0.75], [1.1, 1.0, 0.9]])
    found = find_gains(*seen(gains, noise=0.01))
    product = found * gains  # all the same, up to the little that the prior holds them back
    np.testing.assert_allclose(product / product.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(np.log(found).mean(axis=0), 0, atol=1e-9)


def test_views_that_are_alike_and_views_that_share_nothing_stay_as_they_are():
    np.testing.assert_allclose(find_gains(*seen(np.ones((3, 3)), noise=0.01)), 1, atol=0.01)
    colors, weights = seen([[1.0] * 3, [2.0] * 3])
    weights[0, ::2], weights[1, 1::2], weights[0, 1::2], weights[1, ::2] = 1, 1, 0, 0
    np.testing.assert_array_equal(find_gains(colors, weights), 1)
    np.testing.assert_array_equal(find_gains(colors[:1], weights[:1]), 1)


def test_a_passer_by_does_not_move_them():
    colors, weights = seen(np.ones((3, 3)))
    colors[1, :120] = 0.9  # three points in ten are hidden by something bright
    np.testing.assert_allclose(find_gains(colors, weights), 1, atol=0.02)


def test_an_image_is_exposed_in_linear_light():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    made = expose(image, np.array([1.0, 0.5, 2.0]))
    np.testing.assert_allclose(made[..., 0], image[..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(linear(made[..., 1]), linear(image[..., 1] / 255) / 2, atol=1e-6)
    np.testing.assert_allclose(
        linear(made[..., 2]), (2 * linear(image[..., 2] / 255)).clip(0, 1), atol=1e-5
    )
