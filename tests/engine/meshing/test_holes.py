"""Where no photograph sees the surface: colours of what is near, offsets that fade."""

import numpy as np
from samples.painted_ball import RADIUS, ball, paint

from geolrm.engine.meshing.holes import HOLD, STIFFNESS, level_offsets, splat_colors


def test_colours_are_those_of_the_surface_nearby():
    mesh = ball(paint)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((300, 3))
    points = RADIUS * points / np.linalg.norm(points, axis=1, keepdims=True)
    made = splat_colors(points.astype(np.float32), mesh, 1)
    assert np.abs(made - paint(points)).max() < 0.08
    np.testing.assert_allclose(splat_colors(mesh.vertices[:5], mesh, 1), mesh.colors[:5], atol=1e-5)
    assert splat_colors(points[:0].astype(np.float32), mesh, 1).shape == (0, 3)


def test_offsets_solve_their_equations():
    mesh = ball()
    count = len(mesh.vertices)
    rng = np.random.default_rng(0)
    weights = np.where(mesh.vertices[:, 2] > 0, rng.random(count), 0)
    offsets = rng.normal(0, 0.1, (count, 3))
    made = level_offsets(mesh.faces, offsets, weights)
    edges = {tuple(sorted(pair)) for face in mesh.faces.astype(int).tolist()
             for pair in zip(face, face[1:] + face[:1], strict=True)}  # fmt: skip
    matrix = np.diag(HOLD * weights + STIFFNESS)
    for a, b in edges:
        matrix[[a, b], [a, b]] += 1
        matrix[[a, b], [b, a]] -= 1
    expected = np.linalg.solve(matrix, HOLD * weights[:, None] * offsets)
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_an_offset_fades_with_the_distance_from_what_was_seen():
    mesh = ball()
    seen = mesh.vertices[:, 2] > 0
    made = level_offsets(mesh.faces, np.full((len(seen), 3), 0.2), seen.astype(float))
    np.testing.assert_allclose(made[mesh.vertices[:, 2] > 0.2], 0.2, atol=0.01)
    below = mesh.vertices[:, 2] < -0.02
    heights = mesh.vertices[below, 2]
    assert made.min() >= 0 and np.corrcoef(heights, made[below, 0])[0, 1] > 0.8
    assert made[mesh.vertices[:, 2] < -0.39].max() < 0.1
