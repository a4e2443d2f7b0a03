"""What a photograph says of points: seen or hidden, how straight, how far from borders."""

import numpy as np
import pytest

from geolrm import Cameras
from geolrm.engine.meshing.sightings import ERODED, GRAZING, SLACK, belief, make_sighting

SIDE = 40
CAMERA = Cameras.orbit(0, 0, 2.0, 40.0)  # on +x, looks along -x; y to its right, z up


def sheet(x, half=0.6):
    """Two triangles across the view, turned to the camera."""
    vertices = [[x, -half, -half], [x, half, -half], [x, half, half], [x, -half, half]]
    return np.array(vertices, np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def sight(vertices, faces, valid=None, alpha=None):
    rgb = np.zeros((SIDE, SIDE, 3), np.float32)
    rgb[..., 0] = (np.arange(SIDE) + 0.5) / SIDE  # red grows to the right, green downwards
    rgb[..., 1] = (np.arange(SIDE)[:, None] + 0.5) / SIDE
    alpha = np.ones((SIDE, SIDE), np.float32) if alpha is None else alpha
    return make_sighting(rgb, alpha, valid, CAMERA, vertices, faces)


def look(sighting, *points, normal=(1, 0, 0)):
    count = len(points)
    return sighting.look(np.array(points, np.float32), np.tile(np.float32(normal), (count, 1)))


def test_colours_are_those_of_the_place_in_the_image():
    points = [(0, 0, 0), (0, 0.1, 0.05), (0, -0.2, -0.1)]
    colors, weights = look(sight(*sheet(0.0)), *points)
    focal = 0.5 / np.tan(np.deg2rad(20))
    for (_, y, z), color in zip(points, colors, strict=True):
        np.testing.assert_allclose(color[:2], [0.5 + focal * y / 2, 0.5 - focal * z / 2], atol=1e-5)
    assert (weights > 0.7).all()


def test_what_is_hidden_turned_away_or_outside_has_no_weight():
    sighting = sight(*sheet(0.0))
    for point, normal in [
        ((-2 * 4 * SLACK, 0, 0), (1, 0, 0)),  # behind the sheet
        ((0, 0, 0), (-1, 0, 0)),
        ((0, 0, 0), (0.5 * GRAZING, 1, 0)),
        ((0, 0.68, 0), (1, 0, 0)),  # beside it
        ((0, 5, 0), (1, 0, 0)),  # out of the image
        ((2.5, 0, 0), (1, 0, 0)),  # behind the camera
    ]:
        assert look(sighting, point, normal=normal)[1] == 0, point
    assert look(sighting, (-0.95 * SLACK, 0, 0))[1] > 0.9  # as near as the surface is known


def test_weights_fall_with_the_angle():
    sighting = sight(*sheet(0.0))
    for degrees in (0, 30, 60):
        turned = (np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)), 0)
        weight = look(sighting, (0, 0, 0), normal=turned)[1][0]
        expected = ((np.cos(np.deg2rad(degrees)) - GRAZING) / (1 - GRAZING)) ** 2
        assert weight == pytest.approx(expected, abs=2e-3)


def test_belief_by_hand():
    """Against a plain loop: distances to the nearest unsound pixel, along rows and columns."""
    known = np.ones((30, 30), bool)
    known[:, :5] = False
    iz = np.full((30, 30), 0.5, np.float32)
    iz[20:] = 0.4  # a step of half a unit of depth
    made = belief(known, iz, 40.0)
    assert not made[:, : 5 + ERODED].any() and not made[19 - ERODED : 21 + ERODED].any()
    assert (made[:12, 14:] == 1).all() and (made[26:28, 14:] > 0).all()
    row = made[8, 5 + ERODED : 16]
    assert (np.diff(row) >= 0).all() and row[0] < 0.4 and row[-1] == 1


def test_a_plane_turned_sideways_has_no_steps():
    across = np.linspace(0.3, 0.9, 30, dtype=np.float32)[None].repeat(30, axis=0)
    assert (belief(np.ones((30, 30), bool), across, 40.0)[8:22, 8:22] == 1).all()


def test_alpha_and_valid_are_heeded():
    alpha, valid = np.ones((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), bool)
    alpha[:, : SIDE // 2], valid[: SIDE // 2] = 0.5, False
    left, above, good = (0, -0.3, -0.3), (0, 0.3, 0.3), (0, 0.3, -0.3)
    weights = look(sight(*sheet(0.0), valid, alpha), left, above, good)[1]
    assert weights[0] == 0 and weights[1] == 0 and weights[2] > 0.5
