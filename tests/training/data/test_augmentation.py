"""Each kind of variation does what it says, alone and deterministically."""

from dataclasses import fields, replace

import numpy as np
import pytest

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.training.data.augmentation import AugmentationConfig, augment, recolored
from geolrm.training.data.meshes import Mesh, compose, normalised, render_mesh, rotation
from geolrm.training.data.patterns import PATTERNS, SIZE, pattern
from geolrm.training.data.shapes import SHAPES, bowl, grid_mesh, procedural_mesh, revolve, tube


def only(**probabilities):
    """Nothing but these."""
    return AugmentationConfig(**{f.name: 0.0 for f in fields(AugmentationConfig)} | probabilities)


def blob(seed=0):
    """A closed surface without any symmetry, in the unit cube, with a noisy texture."""
    rng = np.random.default_rng(seed)
    profile = np.linspace(-np.pi / 2, np.pi / 2, 17)
    texture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    mesh = revolve(np.stack([np.cos(profile), np.sin(profile)], -1), texture)
    bumps = 1 + 0.2 * np.sin(mesh.vertices @ rng.uniform(-3, 3, (3, 4))).sum(1, keepdims=True)
    return normalised(replace(mesh, vertices=(mesh.vertices * bumps * [1, 0.7, 1.3]).astype("f4")))


def volume(mesh):
    """Signed; positive where faces run counter-clockwise seen from outside."""
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    return (np.cross(a, b) * c).sum() / 6


def affine(mesh, other):
    """[3, 3] of the affine map that takes the vertices of one to those of the other."""
    points = np.column_stack([mesh.vertices, np.ones(len(mesh.vertices))])
    solution, residual, _, _ = np.linalg.lstsq(points, other.vertices, rcond=None)
    assert residual.max() < 1e-8
    return solution[:3].T


def varied(seed, mesh=None, **probabilities):
    return augment(
        blob() if mesh is None else mesh, np.random.default_rng(seed), None, only(**probabilities)
    )


def assert_fills_the_cube(mesh):
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert (high - low).max() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(low, -high, atol=1e-6)


def test_nothing_asked_changes_nothing():
    mesh = varied(0)
    np.testing.assert_allclose(mesh.vertices, blob().vertices, atol=1e-7)
    np.testing.assert_array_equal(mesh.faces, blob().faces)
    np.testing.assert_array_equal(mesh.textures[0], blob().textures[0])


def test_the_same_chance_gives_the_same_bits_and_leaves_the_original_alone():
    mesh, before = blob(), blob()
    for seed in range(12):
        first, again = (augment(mesh, np.random.default_rng(seed), blob) for _ in range(2))
        for name in ("vertices", "faces", "uv", "face_texture"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        for texture, same in zip(first.textures, again.textures, strict=True):
            np.testing.assert_array_equal(texture, same)
    np.testing.assert_array_equal(mesh.vertices, before.vertices)
    np.testing.assert_array_equal(mesh.textures[0], before.textures[0])


@pytest.mark.parametrize("seed", range(5))
def test_mirror(seed):
    mesh = varied(seed, mirror=1.0)
    np.testing.assert_allclose(mesh.vertices, blob().vertices * [-1, 1, 1], atol=1e-6)
    assert volume(mesh) == pytest.approx(volume(blob())) and volume(mesh) > 0.05


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["spin", "tilt", "quarter_turn"])
def test_turns_are_rotations(kind, seed):
    matrix = affine(blob(), varied(seed, **{kind: 1.0}))
    scale = np.linalg.det(matrix) ** (1 / 3)
    turn = matrix / scale
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-4)
    up = turn[2, 2]
    if kind == "spin":
        assert up == pytest.approx(1, abs=1e-5) and abs(turn[0, 1]) > 1e-3
    elif kind == "tilt":
        assert np.cos(np.deg2rad(15.01)) < up < 1 - 1e-5
    else:
        np.testing.assert_allclose(np.abs(turn).max(0), 1, atol=1e-4)
        assert np.trace(turn) < 2.5
    assert_fills_the_cube(varied(seed, **{kind: 1.0}))


def test_stretch_changes_proportions_within_bounds():
    ratios = []
    for seed in range(20):
        matrix = affine(blob(), varied(seed, stretch=1.0))
        assert abs(matrix - np.diag(np.diag(matrix))).max() < 1e-4
        ratios.append(np.diag(matrix).max() / np.diag(matrix).min())
    assert min(ratios) > 1 and max(ratios) < (4 / 3) ** 2 + 1e-3 and max(ratios) > 1.3


def test_shrink_stays_inside():
    sides = [np.ptp(varied(seed, shrink=1.0).vertices, axis=0).max() for seed in range(20)]
    assert 0.8 <= min(sides) < 0.85 and 0.95 < max(sides) <= 1


def test_permutation_and_color():
    original = blob().textures[0]
    for seed in range(5):
        texture = varied(seed, permutation=1.0).textures[0]
        assert sorted(map(tuple, texture.reshape(-1, 3).T)) == sorted(
            map(tuple, original.reshape(-1, 3).T)
        )
    differences = []
    grey = replace(blob(), textures=(np.full((4, 4, 3), 100, np.uint8),))
    for seed in range(20):
        differences.append(
            np.abs(varied(seed, color=1.0).textures[0] - original.astype(float)).mean()
        )
        shade = varied(seed, grey, color=1.0).textures[0]
        assert np.ptp(shade) <= 1, "hue and saturation leave grey alone"
    assert min(differences) > 3 and max(differences) < 120


def test_recolored_is_affine_and_clipped():
    texture = np.array([[[0, 100, 255]]], np.uint8)
    mesh = recolored(
        replace(blob(), textures=(texture, texture), face_texture=None),
        np.diag([1, 0.5, 2.0]),
        np.array([0.2, 0, 0]),
    )
    for changed in mesh.textures:
        assert changed.tolist() == [[[51, 50, 255]]]


def test_company_stands_beside_or_on_top():
    stacked = 0
    marked = replace(blob(1), textures=(np.full((2, 2, 3), 7, np.uint8),))
    for seed in range(30):
        config = only(company=1.0)
        mesh = augment(blob(), np.random.default_rng(seed), lambda: marked, config)
        assert len(mesh.textures) == 2 and len(mesh.faces) == 2 * len(blob().faces)
        assert mesh.textures[1].max() == 7
        assert_fills_the_cube(mesh)
        first, second = np.split(mesh.vertices, 2)
        size = np.ptp(second, axis=0).max() / np.ptp(first, axis=0).max()
        assert 0.4 < size < 1.1
        on_top = second[:, 2].min() > first[:, 2].max() - 0.05
        stacked += on_top
        if not on_top:
            assert second[:, 2].min() == pytest.approx(first[:, 2].min(), abs=1e-5)
    assert 3 < stacked < 18
    alone = augment(blob(), np.random.default_rng(0), None, only(company=1.0))
    assert len(alone.textures) > 1


def test_probabilities_are_checked():
    with pytest.raises(InputError, match=r"mirror is 1\.5; it must be a probability, 0 to 1"):
        AugmentationConfig(mirror=1.5)


def test_procedural_meshes_fill_the_cube_and_can_be_rendered():
    cameras = Cameras.orbit([20.0, 200.0], [20.0, -20.0], 1.8, 50.0)
    covered, colors = [], []
    for seed in range(60):
        mesh = procedural_mesh(np.random.default_rng(seed))
        assert_fills_the_cube(mesh)
        assert len(mesh.faces) < 20000
        rgb, alpha, depth = render_mesh(mesh, cameras, 48)
        assert ((depth > 0.8) | (depth == 0)).all() and depth.max() < 2.8
        covered.append(alpha.mean())
        colors.append(rgb[alpha > 0].mean(0))
    assert min(covered) > 0.01 and 0.08 < np.mean(covered) < 0.5
    assert np.std(colors, axis=0).min() > 0.1


@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_shapes_are_finite_and_have_area(index):
    for seed in range(10):
        mesh = SHAPES[index](np.random.default_rng(seed))
        a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        assert area.sum() > 0.05 and (area > 0).mean() > 0.4  # tips: a face of each pair is a line
        assert mesh.uv.min() > 0 and mesh.uv.max() < 1


def test_bowls_are_hollow():
    top = Cameras.orbit([0.0], 90.0, 1.8, 50.0)
    hollow = []
    for seed in range(20):
        mesh = normalised(bowl(np.random.default_rng(seed)))
        _, _, depth = render_mesh(mesh, top, 65)
        rim = 1.8 - mesh.vertices[:, 2].max()
        hollow.append(np.nanmax(np.where(depth > 0, depth, np.nan)[0, 28:37, 28:37]) - rim)
    height = 0.15
    assert np.mean(np.array(hollow) > height) > 0.8


def test_grids_and_tubes():
    texture = np.zeros((4, 8, 3), np.uint8)
    x, y = np.meshgrid(np.linspace(0, 2, 5), np.linspace(0, 1, 3))
    sheet = grid_mesh(np.stack([x, y, 0 * x], -1), texture)
    a, b, c = sheet.vertices[sheet.faces].transpose(1, 0, 2)
    np.testing.assert_allclose(np.cross(b - a, c - a)[:, 2], 0.25)
    np.testing.assert_allclose(sheet.uv[0], [0.5 / 8, 0.5 / 4])
    ring = tube(np.stack([np.linspace(0, 1, 30), np.zeros(30), np.zeros(30)], -1), 0.1, texture)
    distance = np.hypot(ring.vertices[:, 1], ring.vertices[:, 2])
    assert distance.max() == pytest.approx(0.1, rel=1e-5)
    assert abs(volume(ring)) == pytest.approx(np.pi * 0.01, rel=0.03)
    assert volume(compose([ring, ring])) == pytest.approx(2 * volume(ring))
    np.testing.assert_allclose(rotation(2, 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(0, 90) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    with pytest.raises(InputError, match="all vertices of the mesh are at one point"):
        normalised(
            Mesh(
                np.zeros((3, 3), "f4"),
                np.array([[0, 1, 2]], "i4"),
                np.zeros((3, 2), "f4"),
                (texture,),
            )
        )


def test_patterns():
    for draw in PATTERNS:
        image = draw(np.random.default_rng(1))
        assert image.shape == (SIZE, SIZE, 3)
        assert image.min() >= -0.01 and image.max() <= 1.01
    image = pattern(np.random.default_rng(1))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, pattern(np.random.default_rng(1)))
