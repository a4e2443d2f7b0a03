"""Meshes of shapes that are known: where the surface lies, which way it turns, its colours."""

from dataclasses import replace

import numpy as np
import pytest
from samples.known_shapes import FACE_COLORS, HALF_SIDES, box_splats, make_splats

from geolrm import Gaussians, InputError
from geolrm.engine.meshing import fusion
from geolrm.engine.meshing.fusion import fuse, solid
from geolrm.engine.refinement.splitting import joined

pytest.importorskip("skimage")

MIDDLE = np.array([0.05, -0.02, 0.03])


def edge_counts(mesh):
    """How many triangles meet at each edge; two everywhere where the surface is closed."""
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def volume(mesh):
    """Signed: positive where triangles turn counter-clockwise seen from outside."""
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    return np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6


def even_ball(radius=0.4, count=4000):
    """Points spread evenly over a ball, so that splats of 0.05 radii leave no gaps."""
    turn, height = (
        np.arange(count) * np.pi * (3 - np.sqrt(5)),
        1 - (np.arange(count) + 0.5) / count * 2,
    )
    ring = np.sqrt(1 - height**2)
    return radius * np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


@pytest.fixture(scope="module")
def ball():
    points = even_ball() + MIDDLE
    return fuse(make_splats(points, np.full((len(points), 3), 0.5), 0.02), size=48, views=16)


def test_a_ball_is_round_closed_and_outwards(ball):
    centred = ball.vertices - MIDDLE
    radii = np.linalg.norm(centred, axis=1)
    voxel = 0.88 / 48
    assert abs(np.median(radii) - 0.4) < 1.5 * voxel and np.ptp(radii) < 2 * voxel
    assert volume(ball) == pytest.approx(4 / 3 * np.pi * np.median(radii) ** 3, rel=0.01)
    assert (edge_counts(ball) == 2).all()
    outward = np.einsum("ni,ni->n", ball.normals, centred) / radii
    assert np.quantile(outward, 0.1) > 0.9
    np.testing.assert_allclose(ball.colors, 0.5, atol=0.01)


def test_a_box_has_its_sides_and_their_colours():
    mesh = fuse(box_splats(), size=64, views=24, threads=2)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    np.testing.assert_allclose(high, HALF_SIDES, atol=0.02)
    np.testing.assert_allclose(low, -HALF_SIDES, atol=0.02)
    for face, color in enumerate(FACE_COLORS):
        axis, above = divmod(face, 2)
        side = mesh.vertices[:, axis] * (1 if above else -1) > HALF_SIDES[axis] - 0.02
        others = [k for k in range(3) if k != axis]
        inner = (np.abs(mesh.vertices[:, others]) < 0.7 * HALF_SIDES[others]).all(axis=1)
        assert (side & inner).sum() > 50
        np.testing.assert_allclose(mesh.colors[side & inner].mean(axis=0), color, atol=0.05)
        assert mesh.normals[side & inner, axis].mean() * (1 if above else -1) > 0.8


def test_a_fuzzy_surface_lies_where_a_solid_one_does():
    """Light passes layers that are hardly opaque, as a refinement from few views leaves them."""
    layers = [even_ball(radius) for radius in (0.40, 0.385, 0.37, 0.355, 0.34)]
    points = np.concatenate(layers)
    splats = make_splats(points, np.full((len(points), 3), 0.5), 0.02)

    def radius(opacity):
        scene = replace(splats, opacities=np.full(len(points), opacity, np.float32))
        return np.median(np.linalg.norm(fuse(scene, size=64, views=16).vertices, axis=1))

    assert radius(0.9) - radius(0.1) < 0.01 and radius(0.9) - radius(0.3) < 0.003


def test_splats_stop_as_much_light_as_four_layers():
    opacities = np.array([0, 0.1, 0.5, 1], np.float32)
    np.testing.assert_allclose(solid(opacities), [0, 0.3439, 0.9375, 1], rtol=1e-6)


def test_faint_splats_do_not_widen_the_field(monkeypatch):
    """They count as little as before they were made solid: a far one would cost gigabytes."""
    shapes, original = [], fusion.empty_field

    def recorded(*given):
        field = original(*given)
        shapes.append(field.shape)
        return field

    monkeypatch.setattr(fusion, "empty_field", recorded)
    box = box_splats()
    far = make_splats(np.full((1, 3), 6.0), np.full((1, 3), 0.5), 0.02)
    far = replace(far, opacities=np.array([0.03], np.float32))
    for scene in (box, joined([box, far])):
        fuse(scene, size=16, views=6)
    assert shapes[0] == shapes[1] and max(shapes[0]) < 40


def test_threads_do_not_change_it():
    scene = box_splats()
    one, two = (fuse(scene, size=24, views=6, threads=count) for count in (1, 2))
    np.testing.assert_array_equal(one.vertices, two.vertices)
    np.testing.assert_array_equal(one.faces, two.faces)


def test_a_scene_of_any_size_and_place(ball):
    """Fused in a box of side 1: what is a thousand times larger gives the same triangles."""
    points = 1000 * (even_ball() + MIDDLE)
    large = fuse(make_splats(points, np.full((len(points), 3), 0.5), 20.0), size=48, views=16)
    assert len(large.faces) == pytest.approx(len(ball.faces), rel=0.01)
    radii = np.linalg.norm(large.vertices / 1000 - MIDDLE, axis=1)
    assert np.median(radii) == pytest.approx(0.41, abs=0.02)


def test_gaps_in_the_splats_are_closed_and_coloured():
    """Two in five splats see-through at random: a shell with gaps is still closed."""
    points = even_ball()
    rng = np.random.default_rng(0)
    shell = make_splats(points, np.tile([0.9, 0.1, 0.1], (4000, 1)), 0.012)
    shell.opacities[rng.random(4000) < 0.4] = 0.3
    mesh = fuse(shell, size=48, views=16)
    assert (edge_counts(mesh) == 2).all() and volume(mesh) > 0.8 * 4 / 3 * np.pi * 0.4**3
    np.testing.assert_allclose(mesh.colors, np.tile([0.9, 0.1, 0.1], (len(mesh.colors), 1)),
                               atol=0.02)  # fmt: skip


def test_a_hollow_that_no_view_sees_has_no_inner_surface(ball):
    assert np.linalg.norm(ball.vertices - MIDDLE, axis=1).min() > 0.38


def test_nothing_opaque_has_no_triangles():
    points = even_ball(count=500)
    splats = make_splats(points, np.full((500, 3), 0.5))
    for opacity in (0.01, 0.1):
        faint = Gaussians(splats.means, np.full(500, opacity), splats.scales, splats.quats,
                          colors=splats.colors)  # fmt: skip
        assert len(fuse(faint, size=24, views=6).faces) == 0


@pytest.mark.parametrize(("options", "message"), [({"size": 513}, "size is 513"),
                                                  ({"views": 3}, "views is 3")])  # fmt: skip
def test_numbers_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        fuse(box_splats(), **options)
