"""A ball with a painted surface, its mesh, and photographs of it."""

import numpy as np

from geolrm import Cameras
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.mesh_pictures import picture_textured
from geolrm.engine.meshing.textured_mesh import TexturedMesh

RADIUS, DISTANCE, FOV = 0.4, 1.6, 40.0


def paint(points):
    """Colours [N, 3] of points on the ball: smooth, different everywhere, within [0.1, 0.9]."""
    x, y, z = (points / RADIUS).T
    waves = np.stack([np.sin(5 * x + 2 * y), np.sin(6 * y - 3 * z), np.cos(5 * z + 2 * x)], axis=1)
    return 0.5 + 0.4 * waves


def grid(rows=32, columns=64):
    """Vertices [P, 3], uv [P, 2] (v up) and faces [F, 3] of the ball, z up, turned outwards."""
    v, u = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    up, around = np.pi * (v - 0.5), 2 * np.pi * u
    points = RADIUS * np.stack(
        [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=-1
    )
    first = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1, 1)
    step = columns + 1
    quads = np.concatenate([first + [0, 1, step + 1], first + [0, step + 1, step]])
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    return points.reshape(-1, 3).astype(np.float32), uv.astype(np.float32), quads


def painted(size=256):
    """The ball with its paint as a texture of 2 * size by size texels."""
    points, uv, faces = grid()
    v, u = np.meshgrid(1 - (np.arange(size) + 0.5) / size, (np.arange(2 * size) + 0.5) / size / 2,
                       indexing="ij")  # fmt: skip
    up, around = np.pi * (v - 0.5), 2 * np.pi * u
    places = RADIUS * np.stack(
        [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=-1
    )
    colors = paint(places.reshape(-1, 3)).reshape(size, 2 * size, 3)
    texture = np.rint(colors * 255).astype(np.uint8)
    return TexturedMesh(points, faces.astype(np.uint32), points / np.float32(RADIUS), uv, texture)


def ball(colors=None):
    """The same surface closed, in one colour or in those of a function of its points."""
    points, _, faces = grid()
    unique, renamed = np.unique(points.round(6), axis=0, return_inverse=True)
    faces = renamed.reshape(-1)[faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2])
                  & (faces[:, 0] != faces[:, 2])]  # fmt: skip
    shades = np.full((len(unique), 3), 0.5) if colors is None else colors(unique)
    return Mesh(unique.astype(np.float32), faces.astype(np.uint32), shades.astype(np.float32))


def ring(count=8, elevation=20.0, start=0.0):
    """Cameras around the ball."""
    return Cameras.orbit(start + np.arange(count) * 360 / count, elevation, DISTANCE, FOV)


def photographs(cameras, size=96, gains=None):
    """V photographs [S, S, 4] uint8 of the ball, each of some exposure, on black."""
    from geolrm.engine.meshing.exposure import expose

    shown = picture_textured(painted(), cameras, (size, size))
    rgba = np.concatenate([shown.rgb, shown.alpha[..., None]], axis=-1)
    made = np.rint(rgba * 255).astype(np.uint8)
    for index, gain in enumerate([] if gains is None else gains):
        light = expose(made[index, ..., :3], np.broadcast_to(gain, 3))
        made[index, ..., :3] = np.rint(light * 255)
    return list(made)


def psnr(one, other, where):
    """Decibels of the difference of images [..., 3] where a mask says so."""
    return -10 * np.log10(np.mean((one[where] - other[where]) ** 2))
