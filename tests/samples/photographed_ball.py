"""A textured ball, its photographs, and cameras that are slightly wrong."""

import numpy as np

from geolrm import Cameras, Gaussians
from geolrm.engine.geometry.motions import rotation_matrix
from geolrm.engine.rendering.render import render
from geolrm.engine.views.preprocessing import make_views


def ball(count=500, radius=0.35, scale=0.05, seed=0):
    """Gaussians on a bumpy sphere whose colours change with the position."""
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= radius * (1 + 0.3 * np.sin(5 * points[:, :1]) * np.cos(4 * points[:, 1:2]))
    quats = np.tile([1.0, 0, 0, 0], (count, 1))
    colors = 0.5 + 0.4 * np.sin(12 * points)
    return Gaussians(points, np.full(count, 0.95), np.full((count, 3), scale), quats, colors=colors)


def ring(count=8):
    """Cameras around it."""
    return Cameras.orbit(np.arange(count) * 360 / count, [20.0, -20.0] * (count // 2), 1.8, 50.0)


def photographs(gaussians, cameras, size=64, poses=None):
    """Views of a scene, with other poses than they were taken from where those are given."""
    drawn = render(gaussians, cameras, (size, size))
    c2w = cameras.c2w if poses is None else poses.c2w
    return make_views(drawn.rgb.transpose(0, 3, 1, 2), c2w, cameras.intrinsics, drawn.alpha)


def shaken(cameras, degrees, seed=0):
    """The cameras, each turned about its own centre."""
    generator = np.random.default_rng(seed)
    c2w = cameras.c2w.copy()
    for pose in c2w:
        turn = generator.normal(size=3) * np.deg2rad(degrees) / 3**0.5
        pose[:3, :3] = pose[:3, :3] @ rotation_matrix(turn)
    return Cameras(c2w, cameras.intrinsics)
