"""Textured meshes against what can be worked out by hand: coverage, depth, texels, occlusion."""

import numpy as np
import pytest
from csrc.quads import QUAD, QUAD_UV, SIZE, draw, flat, noise, quad, render

from geolrm import _C


@pytest.mark.parametrize("supersample", [1, 2, 3, 4])
def test_a_facing_quad_shows_the_texture(supersample):
    texture = noise(SIZE, SIZE)
    large = np.repeat(np.repeat(texture, supersample, 0), supersample, 1)  # a texel a sample
    rgb, alpha, depth = render(quad(-1, -1, 1, 1), textures=[large], supersample=supersample)
    np.testing.assert_allclose(rgb, texture / 255, atol=2e-5)
    np.testing.assert_array_equal(alpha, 1)
    np.testing.assert_allclose(depth, 2, rtol=1e-7)


@pytest.mark.parametrize("side", [16, 12])  # halved once exactly; halved from an odd 3 later on
def test_a_minified_texture_shows_the_area_average(side):
    texture = noise(8 * side, 8 * side)
    rgb, _, _ = render(quad(-1, -1, 1, 1), textures=[texture], supersample=1, size=side)
    blocks = texture.reshape(side, 8, side, 8, 3).mean((1, 3)) / 255  # level 3 of the pyramid
    np.testing.assert_allclose(rgb, blocks, atol=1e-4)


def test_between_levels_both_are_blended():
    texture = np.zeros((4 * SIZE, 4 * SIZE, 3), np.uint8)
    texture[::2, ::2] = texture[1::2, 1::2] = 255  # checks that average to a half in every level
    one = flat(51, 102, 204)
    focal = SIZE * 4 / 2**1.5  # 2^1.5 texels a sample
    k = np.array([[[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1.0]]])
    rgb, _, _ = render(quad(-1, -1, 1, 1), textures=[texture], supersample=1, k=k)
    np.testing.assert_allclose(rgb[6:10, 6:10], 0.5, atol=1e-4)
    rgb, _, _ = render(quad(-1, -1, 1, 1), textures=[one], supersample=1, k=k)
    np.testing.assert_allclose(rgb[8, 8], np.array([51, 102, 204]) / 255, atol=1e-6)


def test_coverage_is_the_share_of_samples():
    left, right = 3 + 1 / 3, 9 + 2 / 3  # px: one column of samples of pixel 3 is out, one of 9
    top, bottom = 2.0, 11.0
    x0, x1, y0, y1 = (2 * (v / SIZE) - 1 for v in (left, right, top, bottom))
    rgb, alpha, depth = render(quad(x0, y0, x1, y1), textures=[flat(255, 0, 51)])
    expected = np.zeros((SIZE, SIZE))
    expected[2:11, 4:9] = 1
    expected[2:11, 3] = expected[2:11, 9] = 2 / 3
    np.testing.assert_allclose(alpha, expected, atol=1e-6)
    np.testing.assert_allclose(rgb[alpha > 0], [[1, 0, 0.2]] * (alpha > 0).sum(), atol=1e-6)
    assert not rgb[alpha == 0].any()
    np.testing.assert_array_equal(depth > 0, alpha > 0)  # the centre column of 3 and 9 is covered


@pytest.mark.parametrize("supersample", [1, 2, 3])
def test_depth_of_a_tilted_plane_at_pixel_centres(supersample):
    tilt = 0.6
    _, _, depth = render(quad(-0.7, -0.7, 0.7, 0.7, tilt=tilt), supersample=supersample)
    ray = (np.arange(SIZE) + 0.5 - SIZE / 2) / SIZE  # x / z
    expected = np.broadcast_to(2 / (1 - tilt * ray), (SIZE, SIZE))
    seen = depth > 0
    np.testing.assert_allclose(depth[seen], expected[seen], rtol=3e-7)
    # z = 2 + 0.6 x: the plane's points at x = -0.7 and 0.7 appear at x / z = -0.443 and 0.289.
    np.testing.assert_array_equal(seen[8], (ray > -0.7 / 1.58) & (ray < 0.7 / 2.42))


def test_texture_coordinates_are_perspective_correct():
    width, tilt = 256, 1.2
    ramp = np.tile(np.arange(width, dtype=np.uint8)[None, :, None], (4, 1, 3))
    corners = quad(-0.9, -0.9, 0.9, 0.9, z=2.0, tilt=tilt)
    rgb, alpha, _ = render(corners, textures=[ramp], size=64, supersample=1)
    ray = (np.arange(64) + 0.5 - 32) / 64
    x = 2 * ray / (1 - tilt * ray)  # on the plane z = 2 + 1.2 x
    u = (x + 0.9) / 1.8
    inside = (u > 0.03) & (u < 0.97)
    expected = (np.clip(u * width - 0.5, 0, 255) / 255)[inside]
    row = rgb[32, inside, 0]
    assert (alpha[32, inside] == 1).all()
    np.testing.assert_allclose(row, expected, atol=1e-4)  # a mip level keeps a ramp


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_quad_hides_the_other(order):
    quads = [quad(-1, -1, 1, 1, z=2.0), quad(-0.5, -0.75, 0.5, 0.75, z=1.5)]
    textures = [flat(255, 0, 0), flat(0, 255, 0)]
    rgb, alpha, depth = render(*(quads[i] for i in order), textures=[textures[i] for i in order])
    half_x, half_y = SIZE * 0.5 / 1.5, SIZE * 0.75 / 1.5
    i = np.arange(SIZE) + 0.5 - SIZE / 2
    near = (abs(i)[None] < half_x) & (abs(i)[:, None] < half_y)
    np.testing.assert_allclose(depth, np.where(near, 1.5, 2.0), rtol=1e-6)
    np.testing.assert_array_equal(rgb[near & (abs(i)[None] < half_x - 1)][:, :2].argmax(-1), 1)
    np.testing.assert_allclose(rgb.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(alpha, 1)


def test_both_sides_are_drawn_alike():
    corners, texture = quad(-0.6, -0.6, 0.6, 0.6, tilt=0.3), noise(8, 8)
    front = render(corners, textures=[texture])
    mesh = _C.TexturedMesh(corners, QUAD[:, ::-1].copy(), QUAD_UV, [texture], np.zeros(2, np.int32))
    for image, other in zip(front, draw(mesh), strict=True):
        np.testing.assert_allclose(image, other, atol=1e-5)


@pytest.mark.parametrize("z", [-2.0, 0.0, 0.005])
def test_faces_behind_or_at_the_camera_are_left_out(z):
    rgb, alpha, depth = render(quad(-1, -1, 1, 1, z=z), quad(-1, -1, 1, 1, z=-1, tilt=3.0))
    assert not rgb.any() and not alpha.any() and not depth.any()


def test_faces_of_no_area_draw_nothing():
    line = quad(-1, 0, 1, 0)
    _, alpha, _ = render(line, quad(0.5, 0.5, 0.5, 0.5))
    assert not alpha.any()


def test_a_fan_of_slivers_leaves_no_gap():
    rng = np.random.default_rng(3)
    angles = np.sort(rng.random(300)) * 2 * np.pi
    rim = np.stack([np.cos(angles), np.sin(angles), np.full(300, 2.0)], -1) * [3, 3, 1]
    points = np.vstack([[[0.013, 0.027, 2.0]], rim]).astype(np.float32)
    ring = np.arange(300, dtype=np.int32)
    faces = np.stack([np.zeros(300, np.int32), 1 + ring, 1 + (ring + 1) % 300], -1)
    uv = np.zeros((301, 2), np.float32)
    mesh = _C.TexturedMesh(points, faces, uv, [flat(9, 9, 9)], np.zeros(300, np.int32))
    _, alpha, depth = draw(mesh, size=97)
    np.testing.assert_array_equal(alpha, 1)
    np.testing.assert_allclose(depth, 2, rtol=1e-6)


def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(0)
    quads = [rng.uniform(-1, 1, (4, 3)).astype(np.float32) + [0, 0, 2.5] for _ in range(60)]
    quads = [corners.astype(np.float32) for corners in quads]
    textures = [noise(16, 16, seed) for seed in range(60)]
    w2c = np.tile(np.eye(4), (7, 1, 1))
    w2c[:, 0, 3] = np.linspace(-0.5, 0.5, 7)
    images = [
        render(*quads, textures=textures, views=7, w2c=w2c, threads=threads)
        for threads in (1, 2, 0)
    ]
    for other in images[1:]:
        for image, again in zip(images[0], other, strict=True):
            np.testing.assert_array_equal(image, again)
