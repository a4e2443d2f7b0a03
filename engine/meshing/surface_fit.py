"""A surface moved to where photographs agree on its colours.

Splats that are fused by their depth give a surface that lies a little off the true one, mostly
behind it. A hundredth of the object is two pixels of a photograph, so that colours of different
views do not meet. Here every vertex is tried at some offsets along its normal, as a plane
sweep does, and goes to where the views that see it differ least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.meshing.blending import run_parts
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.sightings import Sighting

INWARDS, OUTWARDS, STEPS = -0.01, 0.02, 13  # of the object's longest side: what is tried
SPREAD = 0.1  # of colours: what differs by more is hidden, or a highlight, and says no more
DIFFUSION = 6  # rounds in which vertices share what they found with their neighbours
STIFFNESS = 0.3  # how strongly all keep to the offset that is best for all, in mean costs
SMOOTHING = 6  # rounds in which offsets are evened out in the end


def fit_surface(mesh: Mesh, sightings: Sequence[Sighting], threads: int = 1) -> Mesh:
    """Move the vertices along their normals to where photographs agree best.

    Args:
        mesh: Its triangles and colours stay.
        sightings: Photographs, prepared with this mesh.
        threads: Points are shared out among them; the bits do not depend on their number.
    """
    side = float((mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)).max())
    offsets = np.linspace(INWARDS, OUTWARDS, STEPS) * side
    costs, weights = _costs(mesh, sightings, offsets, threads)
    if not weights.any():
        return mesh
    chosen = choose_offsets(mesh.faces, costs, weights, offsets)
    vertices = mesh.vertices + mesh.normals * chosen[:, None].astype(np.float32)
    return Mesh(vertices.astype(np.float32), mesh.faces, mesh.colors)


def _costs(
    mesh: Mesh, sightings: Sequence[Sighting], offsets: NDArray[np.float64], threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each vertex and offset by how much views differ, and how much is known, [P, K]."""
    faces = mesh.faces.astype(np.int64)
    normals = mesh.normals
    middle = normals[faces].mean(axis=1)
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-12)
    points = np.concatenate([mesh.vertices, mesh.vertices[faces].mean(axis=1)])
    across = np.concatenate([normals, middle]).astype(np.float32)
    cost = np.zeros((len(points), len(offsets)), np.float32)
    weight = np.zeros_like(cost)
    slack = float(-offsets[0])

    def fill(part: slice) -> None:
        for index, offset in enumerate(offsets):
            places = points[part] + across[part] * np.float32(offset)
            places = places.astype(np.float32, copy=False)
            cost[part, index], weight[part, index] = disagreement(
                places, across[part], sightings, slack
            )

    run_parts(fill, len(points), threads)
    count = len(mesh.vertices)
    costs, weights = (array[:count].astype(np.float64) for array in (cost * weight, weight))
    for corner in range(3):
        for index in range(len(offsets)):
            share = weight[count:, index] / 3
            costs[:, index] += np.bincount(faces[:, corner], share * cost[count:, index], count)
            weights[:, index] += np.bincount(faces[:, corner], share, count)
    return costs, weights


def disagreement(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    sightings: Sequence[Sighting],
    slack: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Tell by how much views differ in points [N], and how much that is worth.

    Returns:
        The variance of colours over the views, each no further from the mean than counts, in
        [0, 1]; and the sum of the weights less the largest: 0 for what one view sees alone.
    """
    total, largest = (np.zeros(len(points), np.float32) for _ in range(2))
    sums = np.zeros((len(points), 3), np.float32)
    looks = [sighting.look(points, normals, slack) for sighting in sightings]
    for colors, weight in looks:
        total += weight
        np.maximum(largest, weight, out=largest)
        sums += colors * weight[:, None]
    mean = sums / np.maximum(total, np.float32(1e-12))[:, None]
    off = np.zeros(len(points), np.float32)
    for colors, weight in looks:
        square = ((colors - mean) ** 2).mean(axis=1) * np.float32(1 / SPREAD**2)
        off += weight * square / (1 + square)
    off = off / np.maximum(total, np.float32(1e-12))
    return off.astype(np.float32, copy=False), (total - largest).astype(np.float32, copy=False)


def choose_offsets(
    faces: NDArray[np.uint32],
    costs: NDArray[np.float64],
    weights: NDArray[np.float64],
    offsets: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Choose an offset for each vertex, [P], that differs little between neighbours.

    Args:
        faces: [F, 3] of P vertices.
        costs: [P, K] sums of costs by their weights.
        weights: [P, K].
        offsets: [K], evenly spaced.
    """
    overall = costs.sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-12)
    best = _lowest(overall[None], offsets)[0]
    spread = _neighbour_means(faces, len(costs))
    for _ in range(DIFFUSION):
        costs, weights = (costs + spread @ costs) / 2, (weights + spread @ weights) / 2
    known = weights.min(axis=1)
    mean = costs / np.maximum(weights, 1e-12)
    away = (offsets - best) / (offsets[-1] - offsets[0])
    pull = STIFFNESS * overall.mean() * away**2
    chosen = np.where(known > 1e-3, _lowest(mean + pull, offsets), best)
    for _ in range(SMOOTHING):
        chosen = (chosen + spread @ chosen) / 2
    return chosen


def _lowest(costs: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the offsets [P] of the lowest costs [P, K], by a parabola through three of them."""
    rows = np.arange(len(costs))
    place = costs.argmin(axis=1)
    inner = place.clip(1, len(offsets) - 2)
    left, here, right = (costs[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2 * here + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1), 0)
    shift = np.where(place == inner, shift.clip(-0.5, 0.5), place - inner)
    return offsets[inner] + shift * (offsets[1] - offsets[0])


def _neighbour_means(faces: NDArray[np.uint32], count: int) -> Any:
    """Return the matrix [P, P] that takes the mean over a vertex's neighbours."""
    from scipy.sparse import coo_matrix, diags

    one = faces.astype(np.int64).reshape(-1)
    other = np.roll(faces.astype(np.int64), -1, axis=1).reshape(-1)
    edges = coo_matrix((np.ones(len(one)), (one, other)), (count, count)).tocsr()
    edges = ((edges + edges.T) > 0).astype(np.float64)
    degree = np.asarray(edges.sum(axis=1)).reshape(-1)
    alone = degree == 0
    return diags(1 / np.where(alone, 1, degree)) @ edges + diags(alone.astype(np.float64))
