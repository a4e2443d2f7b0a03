"""Surfaces that lie a little wrong are moved to where photographs agree."""

import numpy as np
import pytest
from samples.painted_ball import RADIUS, ball, photographs, ring

from geolrm import Cameras
from geolrm.engine.meshing import surface_fit
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.photos import make_sightings, prepare_photos
from geolrm.engine.meshing.surface_fit import choose_offsets, disagreement, fit_surface

CAMERAS = Cameras(np.concatenate([ring(8).c2w, ring(6, -25.0).c2w]), ring(1).intrinsics[0])


@pytest.fixture(scope="module")
def photos():
    return prepare_photos(photographs(CAMERAS, 192), CAMERAS, None)


def scaled(factor):
    made = ball()
    return Mesh(made.vertices * np.float32(factor), made.faces, made.colors)


@pytest.mark.parametrize("factor", [0.97, 1.015])
def test_a_ball_of_the_wrong_size_gets_the_right_one(photos, factor):
    wrong = scaled(factor)
    made = fit_surface(wrong, make_sightings(photos, wrong), threads=2)
    radii = np.linalg.norm(made.vertices, axis=1)
    seen = np.abs(made.vertices[:, 2]) < 0.6 * RADIUS
    assert abs(np.median(radii[seen]) - RADIUS) < 0.15 * abs(factor - 1) * RADIUS
    assert np.abs(radii[seen] - RADIUS).max() < 0.5 * abs(factor - 1) * RADIUS
    np.testing.assert_array_equal(made.faces, wrong.faces)


def test_the_right_one_hardly_moves(photos):
    made = fit_surface(ball(), make_sightings(photos, ball()))
    assert np.abs(np.linalg.norm(made.vertices, axis=1) - RADIUS).max() < 0.004


def test_what_no_photograph_sees_stays(photos):
    away = Mesh(ball().vertices + np.float32(5), ball().faces, ball().colors)
    assert fit_surface(away, make_sightings(photos, away)) is away


def test_disagreement_point_by_point(photos):
    sightings = make_sightings(photos, ball())
    normals = ball().normals[::40]
    points = ball().vertices[::40]
    cost, weight = disagreement(points, normals, sightings, 0.0)
    for index, (point, normal) in enumerate(zip(points, normals, strict=True)):
        looks = [sighting.look(point[None], normal[None]) for sighting in sightings]
        weights = np.array([look[1][0] for look in looks], float)
        colors = np.array([look[0][0] for look in looks], float)
        assert weight[index] == pytest.approx(weights.sum() - weights.max(), abs=1e-5)
        if weights.any():
            square = ((colors - np.average(colors, axis=0, weights=weights)) ** 2).mean(axis=1)
            square /= surface_fit.SPREAD**2
            expected = np.average(square / (1 + square), weights=weights)
            assert cost[index] == pytest.approx(expected, abs=1e-4)
    assert (weight > 0).sum() > 20


def test_offsets_are_the_lowest_of_parabolas_and_shared_with_neighbours():
    mesh = ball()
    offsets = np.linspace(-0.01, 0.02, 13)
    wanted = np.where(mesh.vertices[:, 0] > 0, 0.004, 0.008)
    costs = 0.1 + ((offsets - wanted[:, None]) / 0.03) ** 2
    chosen = choose_offsets(mesh.faces, costs, np.ones_like(costs), offsets)
    far = np.abs(mesh.vertices[:, 0]) > 0.25
    np.testing.assert_allclose(chosen[far], wanted[far], atol=7e-4)  # held to the best for all
    assert chosen.min() > 0.0035 and chosen.max() < 0.0085
    blind = np.ones_like(costs)
    blind[mesh.vertices[:, 0] > 0] = 0  # of these nothing is known: they go with the others
    chosen = choose_offsets(mesh.faces, costs * blind, blind, offsets)
    np.testing.assert_allclose(chosen, 0.008, atol=1e-4)
