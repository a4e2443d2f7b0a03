"""Exposure and white balance of each view beside its neighbours'."""

import numpy as np
import pytest

from geolrm.engine.captures.diagnostics.exposure_checks import (
    color_stops,
    diagnose_exposure,
    grey_gains,
)
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.silhouettes import make_silhouette

GREY = 100
CAMERAS = Cameras.orbit(np.arange(16) * 22.5, np.full(16, 10.0), 1.8, 50.0)
BALL = np.random.default_rng(0).normal(size=(4000, 3))
BALL *= 0.3 / np.linalg.norm(BALL, axis=1, keepdims=True)


def grey_balls(gains):
    """Images of a grey ball, view 3 with its RGB times the gains, and their masks."""
    rows, columns = np.mgrid[:96, :96] - 47.5
    image = np.zeros((96, 96, 4), np.uint8)
    image[np.hypot(rows, columns) < 33] = [GREY, GREY, GREY, 255]
    images = [image.copy() for _ in CAMERAS.c2w]
    images[3][..., :3] = np.rint(image[..., :3] * np.asarray(gains))
    views = [
        make_silhouette(image, pose, matrix, 96, None)
        for image, pose, matrix in zip(images, CAMERAS.c2w, CAMERAS.intrinsics, strict=True)
    ]
    return images, views


@pytest.mark.parametrize("surface", [BALL, None])
def test_the_gains_of_one_view_are_found(surface):
    gains = np.array([1.2, 1.0, 0.8])
    images, views = grey_balls(gains)
    stops = color_stops(images, views, CAMERAS, surface)
    np.testing.assert_allclose(stops[3, 1:], 2.2 * np.log2(gains), atol=1e-5)
    np.testing.assert_allclose(np.delete(stops, 3, 0), 0, atol=1e-5)
    np.testing.assert_allclose(grey_gains(stops)[3], 1 / gains, rtol=1e-5)


def test_a_cast_is_named_with_its_channels_and_a_darker_view_with_its_stops():
    images, views = grey_balls([1.2, 1.0, 0.8])
    stops = color_stops(images, views, CAMERAS, BALL)
    (cast,) = diagnose_exposure(stops, matched=True)
    assert cast.views == (3,) and str(cast) == (
        "white balance: view 3 differs in colour from the views beside (the channels by red +0.6 "
        "and blue -0.7 stops; at most 0.3): lock the white balance, or match the images; a run "
        "corrects what it finds of it, and says by how much"
    )
    assert diagnose_exposure(stops, matched=False) == []  # other points may have other colours
    images, views = grey_balls([0.8, 0.8, 0.8])
    (dark,) = diagnose_exposure(color_stops(images, views, CAMERAS, BALL), matched=True)
    assert dark.topic == "exposure" and "up to 0.71 stops (darker; at most 0.4)" in dark.text


def test_views_that_agree_are_not_named():
    images, views = grey_balls([1.03, 1.0, 0.97])
    assert diagnose_exposure(color_stops(images, views, CAMERAS, BALL), matched=True) == []
