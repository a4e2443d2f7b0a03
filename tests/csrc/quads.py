"""Textured quads before a camera at the origin, and a way to draw them."""

import numpy as np

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
