"""Blended colours, point by point and view by view."""

import numpy as np
from samples.painted_ball import RADIUS, ball, paint, photographs, ring

from geolrm.engine.meshing import blending
from geolrm.engine.meshing.sightings import make_sighting


def slowly(point, normal, sightings):
    """One point: the mean by weight, then again with what is far from it counting less."""
    colors, weights = [], []
    for sighting in sightings:
        color, weight = sighting.look(point[None], normal[None])
        if weight[0] > 0:
            colors.append(color[0].astype(float))
            weights.append(float(weight[0]))
    if not weights:
        return np.zeros(3), 0.0
    mean = np.average(colors, axis=0, weights=np.sqrt(weights))
    for power in (0.5, 2.0):
        again = [
            weight**power / (1 + np.mean((color - mean) ** 2) / blending.SPREAD**2) ** 2
            for color, weight in zip(colors, weights, strict=True)
        ]
        mean = np.average(colors, axis=0, weights=again)
    return mean, sum(weights)


def prepared(cameras, images):
    mesh = ball()
    return [
        make_sighting(image[..., :3].astype(np.float32) / 255, image[..., 3] / np.float32(255),
                      None, cameras[[index]], mesh.vertices, mesh.faces.astype(np.int32))
        for index, image in enumerate(images)
    ]  # fmt: skip


def test_as_the_slow_reference(monkeypatch):
    cameras = ring(5)
    images = photographs(cameras)
    images[1][40:60, 40:60, :3] = 255
    sightings = prepared(cameras, images)
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((150, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = (RADIUS * 0.999 * normals).astype(np.float32)
    expected = [slowly(point, normal, sightings)
                for point, normal in zip(points, normals, strict=True)]  # fmt: skip
    monkeypatch.setattr(blending, "PART", 64)  # so that there is more than one part
    colors, trust = blending.blend(points, normals, sightings, threads=2)
    np.testing.assert_allclose(colors, [color for color, _ in expected], atol=2e-5)
    np.testing.assert_allclose(trust, [weight for _, weight in expected], rtol=1e-4, atol=1e-6)
    assert 0.3 < (trust > 0).mean() < 0.9
    good = trust > 0.3
    assert np.abs(colors[good] - paint(points[good])).mean() < 0.02


def test_no_points_and_no_views():
    nothing = np.empty((0, 3), np.float32)
    assert blending.blend(nothing, nothing, [], 2)[0].shape == (0, 3)
    colors, trust = blending.blend(np.ones((3, 3), np.float32), np.ones((3, 3), np.float32), [])
    assert not colors.any() and not trust.any()
