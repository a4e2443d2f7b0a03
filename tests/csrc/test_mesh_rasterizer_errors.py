"""Meshes and views that cannot be drawn are refused in one sentence."""

import numpy as np
import pytest
from csrc.quads import QUAD, QUAD_UV, SIZE, draw, noise, quad

from geolrm import _C


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
        ({"faces": QUAD[:, ::-1]}, ValueError, "faces is not C-contiguous"),
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
