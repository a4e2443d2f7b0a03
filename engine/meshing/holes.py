"""Colours where no photograph sees the surface: the splats', brought level with the photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.meshing.mesh import Mesh

FADE = 0.005  # of weight: with less, the splats' colour is mixed in
HOLD = 50.0  # how strongly a vertex that photographs see well keeps its own offset, in edges
STIFFNESS = 0.02  # pull of any vertex towards the splats' own colour, in edges
NEIGHBOURS = 4


def splat_colors(points: NDArray[np.float32], fused: Mesh, threads: int) -> NDArray[np.float32]:
    """Return the colours [N, 3] of a fused mesh's vertices near points [N, 3] of its surface."""
    from scipy.spatial import KDTree

    if not len(points):
        return np.empty((0, 3), np.float32)
    count = min(NEIGHBOURS, len(fused.vertices))
    distance, index = KDTree(fused.vertices).query(points, k=count, workers=threads)
    distance, index = distance.reshape(-1, count), index.reshape(-1, count)
    share = 1 / np.maximum(distance, 1e-9)
    share /= share.sum(axis=1, keepdims=True)
    return np.einsum("nk,nkc->nc", share, fused.colors[index]).astype(np.float32)


def level_offsets(
    faces: NDArray[np.uint32],
    offsets: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Spread over the surface by how much photographs differ from the splats, [P, 3].

    Each vertex is pulled towards its neighbours, towards its own offset as strongly as it is known,
    and slightly towards 0, so that an offset fades with the distance from where it was seen.

    Args:
        faces: [F, 3] of P vertices.
        offsets: [P, 3], photographs less splats.
        weights: [P], 0 where no photograph says anything.
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import splu

    count = len(offsets)
    ends = faces.astype(np.int64)
    one = ends[:, [0, 1, 2]].reshape(-1)
    other = ends[:, [1, 2, 0]].reshape(-1)
    edges = coo_matrix((np.ones(len(one)), (one, other)), (count, count)).tocsr()
    edges = edges.maximum(edges.T)
    edges.data[:] = 1  # pyright: ignore[reportAttributeAccessIssue]
    degree = np.asarray(edges.sum(axis=1)).reshape(-1)
    own = HOLD * np.minimum(weights, 1)
    matrix = diags(degree + own + STIFFNESS) - edges
    return splu(matrix.tocsc()).solve(own[:, None] * offsets).astype(np.float32)
