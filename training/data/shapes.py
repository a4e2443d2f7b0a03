"""Procedural shapes: closed surfaces over a grid of parameters, put together at random."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.training.data.meshes import Mesh, compose, normalised, rotation
from geolrm.training.data.patterns import pattern

SEGMENTS = 40  # steps once around


def procedural_mesh(rng: np.random.Generator) -> Mesh:
    """Join one to five shapes with procedural textures, each on the first, in the unit cube."""
    shapes: list[Mesh] = []
    for index in range(1 if rng.random() < 0.5 else int(rng.integers(2, 6))):
        shape = _oriented(SHAPES[int(rng.integers(len(SHAPES)))](rng), rng)
        if index:
            place = shapes[0].vertices[int(rng.integers(len(shapes[0].vertices)))]
            shape = replace(shape, vertices=shape.vertices * np.float32(rng.uniform(0.25, 0.8)))
            shift = place * rng.uniform(0.5, 1.1)
            shape = replace(shape, vertices=(shape.vertices + shift).astype(np.float32))
        shapes.append(shape)
    return normalised(compose(shapes))


def _oriented(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    """Put a mesh upright, lying, or anyhow, in the unit cube."""
    kind = rng.choice(3, p=[0.6, 0.2, 0.2])
    if kind == 1:
        mesh = replace(mesh, vertices=_turned(mesh, rotation(int(rng.integers(2)), 90.0)))
    elif kind == 2:
        axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        mesh = replace(mesh, vertices=_turned(mesh, axes))
    return normalised(mesh)


def _turned(mesh: Mesh, turn: NDArray[np.float64]) -> NDArray[np.float32]:
    return (mesh.vertices @ turn.T).astype(np.float32)


def grid_mesh(points: ArrayLike, texture: NDArray[np.uint8]) -> Mesh:
    """Span a surface over points [A, B, 3]; u runs along B, v up along A, over the texture."""
    points = np.asarray(points, np.float32)
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(-1, 3)
    # Half a texel of margin: what repeats must not show at the open borders.
    u, v = (
        np.linspace(0.5 / s, 1 - 0.5 / s, n)
        for s, n in zip(texture.shape[1::-1], (columns, rows), strict=True)
    )
    uv = np.stack(np.broadcast_arrays(u[None], v[:, None]), -1).astype(np.float32)
    return Mesh(points.reshape(-1, 3), faces, uv.reshape(-1, 2), (texture,))


def revolve(profile: ArrayLike, texture: NDArray[np.uint8]) -> Mesh:
    """Sweep a profile [K, 2] of (radius, z) once around z."""
    radius, z = np.asarray(profile, float).T
    angle = np.linspace(0, 2 * np.pi, SEGMENTS + 1)
    points = [np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle))]
    return grid_mesh(np.stack([*points, np.broadcast_to(z[:, None], points[0].shape)], -1), texture)


def tube(path: ArrayLike, radius: float, texture: NDArray[np.uint8]) -> Mesh:
    """Lead a round tube with closed ends along a path [K, 3]."""
    path = np.asarray(path, float)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, along[0] + [0.31, 0.47, 0.83])  # a direction none of the paths follows
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, 17)[:, None]
    other = np.cross(along, side)
    rings = path[:, None] + radius * (
        np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None]
    )
    ends = [np.repeat(path[[i], None], 17, 1) for i in (0, -1)]
    return grid_mesh(np.concatenate([ends[0], rings, ends[1]]), texture)


def box(rng: np.random.Generator) -> Mesh:
    """Make a box of six sides, with one texture for all or one for each."""
    half = rng.uniform(0.15, 1, 3)
    shared = pattern(rng) if rng.random() < 0.5 else None
    sides = []
    for axis in range(3):
        for sign in (-1, 1):
            corners = np.zeros((2, 2, 3))
            corners[..., axis] = sign
            corners[..., (axis + 1) % 3] = np.array([-1, 1]) * sign
            corners[..., (axis + 2) % 3] = np.array([-1, 1])[:, None]
            sides.append(grid_mesh(corners * half, pattern(rng) if shared is None else shared))
    return compose(sides)


def cylinder(rng: np.random.Generator) -> Mesh:
    """Make a cylinder with flat ends; some get narrower to the top, to a cone or a frustum."""
    height, top = rng.uniform(0.2, 3), rng.choice([1.0, 0.0, rng.uniform(0.1, 1)])
    side = revolve([[1, 0], [top, height]], pattern(rng))
    ends = [revolve([[0, 0], [1, 0]], pattern(rng))]
    if top > 0:
        ends.append(revolve([[top, height], [0, height]], ends[0].textures[0]))
    return compose([side, *ends])


def ball(rng: np.random.Generator) -> Mesh:
    """Make an ellipsoid, mostly with bumps."""
    profile = np.linspace(-np.pi / 2, np.pi / 2, 25)
    mesh = revolve(np.stack([np.cos(profile), np.sin(profile)], -1), pattern(rng))
    points = mesh.vertices
    if rng.random() < 0.6:
        waves, phases = rng.uniform(-5, 5, (6, 3)), rng.uniform(0, 2 * np.pi, 6)
        bumps = np.sin(points @ waves.T + phases).mean(1, keepdims=True)
        points = points * (1 + rng.uniform(0.1, 0.8) * bumps)
    return replace(mesh, vertices=(points * rng.uniform(0.5, 1, 3)).astype(np.float32))


def torus(rng: np.random.Generator) -> Mesh:
    """Make a ring, round or flattened in section."""
    angle = np.linspace(0, 2 * np.pi, 25)
    thickness, height = rng.uniform(0.1, 0.6), rng.uniform(0.5, 2)
    section = [1 + thickness * np.cos(angle), thickness * height * np.sin(angle)]
    return revolve(np.stack(section, -1), pattern(rng))


def bowl(rng: np.random.Generator) -> Mesh:
    """Make a hollow vessel: bowl, cup or vase, some with a handle."""
    height, wall = rng.uniform(0.3, 2.5), rng.uniform(0.03, 0.12)
    z = np.linspace(0, 1, 10)
    bulge = rng.uniform(-0.25, 0.5) * np.sin(np.pi * z) + rng.uniform(-0.3, 0.6) * z
    outside = np.stack([0.6 + bulge * 0.8, z * height], -1)
    rim = np.maximum(outside - [wall, 0], 0.02)
    inside = rim[rim[:, 1] > 1.5 * wall][::-1]
    outer = revolve(np.vstack([[0, 0], outside, rim[-1]]), pattern(rng))
    bottom = [0, inside[-1, 1]]
    meshes = [outer, revolve(np.vstack([inside, bottom]), pattern(rng))]
    if rng.random() < 0.4:
        angle = np.linspace(-np.pi / 2, np.pi / 2, 16)
        size = height * rng.uniform(0.2, 0.35)
        arc = np.stack([size * np.cos(angle), 0 * angle, size * np.sin(angle)], -1)
        start = [np.interp(0.5 * height, outside[:, 1], outside[:, 0]) - wall / 2, 0, 0.5 * height]
        meshes.append(tube(arc + start, rng.uniform(0.04, 0.1), outer.textures[0]))
    return compose(meshes)


def superquadric(rng: np.random.Generator) -> Mesh:
    """Make a shape between box, cylinder, ellipsoid, octahedron and star."""
    power = lambda x, e: np.sign(x) * np.abs(x) ** e  # noqa: E731
    upright, around = rng.uniform(0.15, 2.2, 2)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 25)[:, None]
    longitude = np.linspace(-np.pi, np.pi, SEGMENTS + 1)
    ring = power(np.cos(latitude), upright)
    x, y = ring * power(np.cos(longitude), around), ring * power(np.sin(longitude), around)
    z = np.broadcast_to(power(np.sin(latitude), upright), x.shape)
    return grid_mesh(np.stack([x, y, z], -1) * rng.uniform(0.3, 1, 3), pattern(rng))


def prism(rng: np.random.Generator) -> Mesh:
    """Pull a star-shaped outline up, straight or twisted."""
    count = int(rng.integers(3, 13))
    radius = rng.uniform(0.4, 1, count) if rng.random() < 0.5 else np.tile([1.0, 0.5], count)
    angle = np.linspace(0, 2 * np.pi, len(radius) + 1)
    outline = np.append(radius, radius[0])[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    height, twist = rng.uniform(0.1, 2), rng.uniform(-1, 1) * (rng.random() < 0.3)
    rings = []
    for z in np.linspace(0, 1, 9):
        turn = np.array(
            [[np.cos(twist * z), -np.sin(twist * z)], [np.sin(twist * z), np.cos(twist * z)]]
        )
        rings.append(np.column_stack([outline @ turn.T, np.full(len(outline), z * height)]))
    centres = [np.tile([0, 0, z], (len(outline), 1)) for z in (0, height)]
    ends = [
        grid_mesh([c, r], pattern(rng)) for c, r in zip(centres, (rings[0], rings[-1]), strict=True)
    ]
    return compose([grid_mesh(rings, pattern(rng)), *ends])


def bent_tube(rng: np.random.Generator) -> Mesh:
    """Lead a tube along a smooth random path."""
    t = np.linspace(0, 1, 40)[:, None]
    waves = rng.uniform(-1, 1, (2, 3))
    path = waves[0] * np.sin(np.pi * t) + waves[1] * np.sin(2 * np.pi * t) + t * [1, 0.3, 1.5]
    return tube(path, rng.uniform(0.05, 0.25), pattern(rng))


SHAPES: tuple[Callable[[np.random.Generator], Mesh], ...] = (
    box,
    box,
    cylinder,
    ball,
    torus,
    bowl,
    bowl,
    superquadric,
    prism,
    bent_tube,
)
