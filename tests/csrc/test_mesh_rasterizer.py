"""Textured meshes against what can be worked out by hand: coverage, depth, texels, occlusion."""

import numpy as np
import pytest

from geolrm import _C

SIZE = 16  # px; the camera below sees [-1, 1] x [-1, 1] in the plane z = 2
QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
QUAD_UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)  # v up: texel row 0 on top


def quad(x0, y0, x1, y1, z=2.0, tilt=0.0):
    """Corners in OpenCV camera axes, from the top left around; z grows by `tilt` an x."""
    corners = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], np.float32)
    corners[:, 2] += np.float32(tilt) * corners[:, 0]
    return corners


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(*color):
    return np.full((1, 1, 3), color, np.uint8)


def render(*quads, textures=None, size=SIZE, supersample=3, views=1, threads=1, **camera):
    """Quads drawn one after the other, each with its texture; the camera is at the origin."""
    textures = [flat(255, 255, 255)] * len(quads) if textures is None else textures
    count = len(quads)
    mesh = _C.TexturedMesh(
        np.concatenate(quads),
        np.concatenate([QUAD + 4 * i for i in range(count)]),
        np.tile(QUAD_UV, (count, 1)),
        textures,
        np.repeat(np.arange(count, dtype=np.int32), 2),
    )
    return draw(mesh, size, supersample, views, threads, **camera)


def draw(mesh, size=SIZE, supersample=3, views=1, threads=1, w2c=None, k=None, out=None):
    w2c = np.tile(np.eye(4), (views, 1, 1)) if w2c is None else w2c
    k = (
        np.tile([[size, 0, size / 2], [0, size, size / 2], [0, 0, 1.0]], (views, 1, 1))
        if k is None
        else k
    )
    shape = (len(w2c), size, size)
    out = (
        [np.full(s, np.nan, np.float32) for s in ((*shape, 3), shape, shape)]
        if out is None
        else out
    )
    mesh.render(w2c, k, size, size, supersample, *out, threads=threads)
    return out if views > 1 else [image[0] for image in out]


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


def arrays():
    return {
        "vertices": quad(-1, -1, 1, 1),
        "faces": QUAD.copy(),
        "uv": QUAD_UV.copy(),
        "textures": [noise(4, 4)],
        "face_texture": np.zeros(2, np.int32),
    }


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


A = arrays()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            {"vertices": np.zeros((4, 2), np.float32)},
            ValueError,
            r"vertices has shape \[4, 2\]; it must be \[N, 3\]",
        ),
        (
            {"vertices": np.zeros((4, 3))},
            TypeError,
            "vertices has dtype float64; it must be float32",
        ),
        ({"faces": QUAD.astype(np.int64)}, TypeError, "faces has dtype int64; it must be int32"),
        ({"faces": QUAD[:, ::-1]}, ValueError, "faces is not contiguous"),
        (
            {"uv": np.zeros((3, 2), np.float32)},
            ValueError,
            r"uv has shape \[3, 2\]; it must be \[4, 2\]",
        ),
        (
            {"faces": changed(QUAD, (1, 2), 4)},
            ValueError,
            "face 1 names vertex 4, but there are 4; indices must be",
        ),
        (
            {"faces": changed(QUAD, (0, 0), -1)},
            ValueError,
            "face 0 names vertex -1, but there are 4",
        ),
        (
            {"face_texture": np.ones(2, np.int32)},
            ValueError,
            "face 0 names texture 1, but there are 1",
        ),
        (
            {"vertices": changed(A["vertices"], (2, 1), np.nan)},
            ValueError,
            "vertices of vertex 2 is nan; it must be finite",
        ),
        (
            {"uv": changed(QUAD_UV, (3, 0), np.inf)},
            ValueError,
            "uv of vertex 3 is inf; it must be finite",
        ),
        (
            {"textures": [np.zeros((4, 4, 4), np.uint8)]},
            ValueError,
            r"texture 0 has shape \[4, 4, 4\]; it must be \[N, N, 3\]",
        ),
        (
            {"textures": [np.zeros((4, 0, 3), np.uint8)]},
            ValueError,
            "texture 0 has 0 x 4 texels; each side must be 1 to 16384",
        ),
        (
            {"textures": [np.zeros((4, 4, 3), np.float32)]},
            TypeError,
            "texture 0 has dtype float32; it must be uint8",
        ),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(change, error, text):
    with pytest.raises(error, match=text):
        _C.TexturedMesh(**(arrays() | change))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"supersample": 0}, ValueError, "supersample is 0; it must be 1 to 16"),
        ({"supersample": 17}, ValueError, "supersample is 17; it must be 1 to 16"),
        ({"size": 0}, ValueError, "the image is 0 x 0 px; each side must be 1 to 16384"),
        ({"threads": -1}, ValueError, "threads is -1; it must be 0"),
        ({"w2c": np.full((1, 4, 4), np.nan)}, ValueError, "camera 0 holds NaN or infinity"),
        ({"w2c": np.eye(4)}, ValueError, r"w2c has shape \[4, 4\]; it must be \[N, 4, 4\]"),
        (
            {"k": np.zeros((1, 3, 3))},
            ValueError,
            "intrinsics of camera 0 have fx = 0, fy = 0; focal lengths must be positive",
        ),
        (
            {"k": np.zeros((2, 3, 3))},
            ValueError,
            r"intrinsics has shape \[2, 3, 3\]; it must be \[1, 3, 3\]",
        ),
        (
            {"out": [np.zeros((1, 8, 8, 3), np.float32)] * 3},
            ValueError,
            r"rgb has shape \[1, 8, 8, 3\]; it must be \[1, 16, 16, 3\]",
        ),
    ],
)
def test_a_view_that_cannot_be_is_refused(change, error, text):
    with pytest.raises(error, match=text):
        draw(_C.TexturedMesh(**arrays()), **change)


def test_too_many_samples_are_refused():
    mesh = _C.TexturedMesh(**arrays())
    small = np.zeros((1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="a view has 4294967296 samples; at most 268435456"):
        mesh.render(
            np.eye(4)[None], np.eye(3)[None], 16384, 16384, 4, small[..., None], small, small
        )
    out = np.zeros((1, SIZE, SIZE), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="alpha is read-only"):
        draw(mesh, out=[np.zeros((1, SIZE, SIZE, 3), np.float32), out, out])
