"""Photographs made ready: which, how large, with which masks, how bright."""

from dataclasses import replace

import numpy as np
from samples.painted_ball import ball, photographs, ring

from geolrm.engine.meshing import photos
from geolrm.engine.meshing.photos import (
    level,
    make_sightings,
    prepare_photos,
    share_outside,
)

RING = ring(4)


def test_alpha_or_the_background_tells_where_the_object_is():
    images = photographs(RING[[0, 1]])
    white = np.where(images[1][..., 3:] > 127, images[1][..., :3], 255).astype(np.uint8)
    made = prepare_photos([images[0], white], RING[[0, 1]], None)
    np.testing.assert_allclose(made[0].alpha, images[0][..., 3] / 255, atol=1e-6)
    np.testing.assert_array_equal(made[1].alpha == 1, images[1][..., 3] > 127)
    assert made[0].rgb.shape == (96, 96, 3) and made[0].valid is None


def test_many_and_large_ones_are_bounded(monkeypatch):
    monkeypatch.setattr(photos, "MOST_VIEWS", 2)
    monkeypatch.setattr(photos, "MOST_PIXELS", 2 * 48 * 48)
    images = photographs(RING)
    valid = [np.ones((96, 96), bool), None, None, None]
    made = prepare_photos(images, RING, valid)
    assert [photo.rgb.shape for photo in made] == [(48, 48, 3)] * 2
    assert made[0].valid is not None and made[0].valid.shape == (48, 48)
    poses = [photo.camera.c2w[0] for photo in made]
    np.testing.assert_array_equal(poses, RING[RING.spread(2)].c2w)


def test_exposures_are_levelled_in_place():
    mesh = ball()
    made = prepare_photos(photographs(RING, gains=[1, 0.6, 1, 1.4]), RING, None)
    sightings = make_sightings(made, mesh)
    plain = photographs(RING)
    before = [np.abs(s.pixels[:, :3] - p[..., :3].reshape(-1, 3) / 255).mean()
              for s, p in zip(sightings, plain, strict=True)]  # fmt: skip
    levelled = level(made, sightings, mesh.vertices, mesh.normals)
    ratios = [s.pixels[:, :3].mean() / (p[..., :3] / 255).mean()
              for s, p in zip(levelled, plain, strict=True)]  # fmt: skip
    assert before[1] > 0.01 and np.ptp(ratios) < 0.1


def test_the_share_of_a_mesh_that_photographs_do_not_show():
    made = prepare_photos(photographs(RING), RING, None)
    assert share_outside(made, make_sightings(made, ball())) < 0.02
    half = [replace(photo, alpha=photo.alpha * (np.arange(96) < 48)) for photo in made]
    assert abs(share_outside(half, make_sightings(half, ball())) - 0.5) < 0.03
    left = np.broadcast_to(np.arange(96) < 48, (96, 96))
    known = [replace(photo, valid=left) for photo in half]
    assert share_outside(known, make_sightings(known, ball())) < 0.02
