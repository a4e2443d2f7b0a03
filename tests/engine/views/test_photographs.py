"""Photographs that are looked at again."""

import numpy as np

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.photographs import KeptReferences, Photographs
from geolrm.engine.views.preprocessing import prepare_views

CAMERAS = Cameras.orbit([0.0, 90.0, 180.0], 10.0, 1.8, 50.0)


def test_the_median_photograph_says_the_size():
    shapes = [(40, 30), (50, 60), (400, 100)]
    images = [np.zeros((*shape, 4), np.uint8) for shape in shapes]
    assert Photographs(images, CAMERAS, None, 28).size == 60
    floats = np.zeros((3, 3, 32, 48), np.float32)
    assert Photographs(floats, CAMERAS, None, 28).size == 48


def test_references_of_any_size_and_the_latest_is_kept():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 64, 64, 4), np.uint8)
    kept = Photographs(images, CAMERAS, None, 28)
    fine = kept.at(60)
    expected = prepare_views(images, CAMERAS, 28, 60)
    np.testing.assert_array_equal(fine.reference, expected.reference)
    assert kept.at(60) is fine and kept.at(32).reference.shape == (3, 4, 32, 32)


def test_references_that_were_kept_are_those_made_together():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (3, 64, 64, 4), np.uint8)
    parts = [Photographs(images[[i]], CAMERAS[[i]], None, 28).at(48) for i in range(3)]
    kept = KeptReferences(parts)
    assert kept.size == 48
    expected = Photographs(images, CAMERAS, None, 28).at(48)
    np.testing.assert_array_equal(kept.at(48).reference, expected.reference)
    np.testing.assert_array_equal(kept.at(48).c2w, expected.c2w)
