"""Small rigid motions: rotations as vectors, and what moves many cameras at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.geometry.cameras import Cameras

FAR = 3.0  # times the median distance, beyond which a camera went its own way


def rotation_matrix(vector: ArrayLike) -> NDArray[np.float64]:
    """Return the rotation [3, 3] about a vector [3] by its length in radians."""
    vector = np.asarray(vector, np.float64)
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_vector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vector [3] of a rotation [3, 3] by less than half a turn."""
    axis = 0.5 * np.array(
        [matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]
    )
    sine, cosine = float(np.linalg.norm(axis)), (np.trace(matrix) - 1) / 2
    return axis if sine < 1e-9 else axis * (np.arctan2(sine, cosine) / sine)


def motion(
    turn: ArrayLike, move: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the motion [4, 4] that turns about a centre [3], then moves by ``move`` [3]."""
    rotation = rotation_matrix(turn)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre - rotation @ centre + move
    return matrix


def common_motion(
    before: NDArray[np.float64], after: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the similarity [4, 4] that takes moved cameras back, all together.

    Of the turns and distances it takes means, but for cameras that went far from most, and of the
    shifts the point nearest to all: one camera that went astray hardly moves the others.

    Args:
        before: [V, 4, 4] rigid camera-to-world.
        after: [V, 4, 4], the same cameras, each moved by itself.
        centre: [3], of what they look at.
    """
    motions = after @ np.linalg.inv(before)
    turn = -robust_mean(np.array([rotation_vector(one[:3, :3]) for one in motions]))
    # Where each camera would have moved the centre; along its own axis that is a scale.
    shifts = motions[:, :3, :3] @ centre + motions[:, :3, 3] - centre
    axes = after[:, :3, 2]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    shift, weights = np.zeros(3), np.ones(len(shifts))
    for _ in range(20):  # least distances by least squares: one camera far off counts as any
        matrix = (weights[:, None, None] * across).sum(0) + 1e-9 * np.eye(3)
        shift = np.linalg.solve(matrix, np.einsum("v,vij,vj->i", weights, across, shifts))
        off = np.linalg.norm(np.einsum("vij,vj->vi", across, shifts - shift), axis=1)
        weights = 1 / np.maximum(off, 1e-6)
    distances = [
        np.linalg.norm(before[:, :3, 3] - centre, axis=1),
        np.linalg.norm(after[:, :3, 3] - centre - shift, axis=1),
    ]
    scale = np.exp(robust_mean(np.log(distances[0] / distances[1])[:, None])[0])
    rotation = scale * rotation_matrix(turn)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre - rotation @ (centre + shift)
    return matrix


def robust_mean(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean [N] of vectors [V, N], without those that lie far from the median."""
    off = np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1)
    return vectors[off <= FAR * np.median(off) + 1e-12].mean(0)


def misplaced(cameras: Cameras, degrees: float, shift: float, rng: np.random.Generator) -> Cameras:
    """Turn each camera about its own centre and move it, at random.

    Args:
        cameras: V.
        degrees: Of the turns, in root mean square.
        shift: Of the ways, in root mean square, in the unit of the poses.
        rng: All chance comes from it.
    """
    turns = rng.normal(size=(len(cameras), 3)) * np.deg2rad(degrees) / 3**0.5
    moves = rng.normal(size=(len(cameras), 3)) * shift / 3**0.5
    c2w = cameras.c2w.copy()
    for pose, turn, move in zip(c2w, turns, moves, strict=True):
        pose[:3, :3] = pose[:3, :3] @ rotation_matrix(turn)
        pose[:3, 3] += move
    return Cameras(c2w, cameras.intrinsics)
