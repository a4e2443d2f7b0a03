"""Similarities: a rotation, one scale and a translation, as [4, 4] matrices."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.errors import InputError

TOLERANCE = 1e-3


def make_similarity(
    scale: float, rotation: NDArray[np.float64], translation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Make the [4, 4] matrix of ``x -> scale * rotation @ x + translation``."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = translation
    return matrix


def split_similarity(
    matrix: ArrayLike,
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Split a [4, 4] matrix into scale, rotation [3, 3] and translation [3].

    Raises:
        InputError: The matrix mirrors, shears, or scales axes differently.
    """
    try:
        array = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.shape != (4, 4) or not np.isfinite(array).all():
        raise InputError(
            f"the transform has shape {array.shape}; it must be a [4, 4] matrix of finite numbers"
        )
    scale = float(np.cbrt(np.linalg.det(array[:3, :3])))
    rotation = array[:3, :3] / scale if scale > 0 else np.full((3, 3), np.inf)
    error = np.abs(rotation.T @ rotation - np.eye(3)).max() if scale > 0 else np.inf
    if error > TOLERANCE or not np.allclose(array[3], [0, 0, 0, 1], atol=1e-6):
        raise InputError(
            "the transform is no similarity; it must be a rotation times one positive scale, and "
            "a translation: remove mirroring, shear and scales that differ between axes"
        )
    return scale, rotation, array[:3, 3]


def apply(matrix: NDArray[np.float64], points: NDArray) -> NDArray[np.float64]:
    """Move points [N, 3] by a [4, 4] similarity."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def move_poses(c2w: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move camera-to-world poses [V, 4, 4] by a [4, 4] similarity; they stay rigid.

    Raises:
        InputError: The matrix is no similarity.
    """
    _, rotation, _ = split_similarity(matrix)
    moved = c2w.copy()
    moved[:, :3, :3] = rotation @ c2w[:, :3, :3]
    moved[:, :3, 3] = apply(matrix, c2w[:, :3, 3])
    return moved


def turning(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest rotation [3, 3] that takes one unit vector to another."""
    cosine = float(start @ end)
    if cosine < -1 + 1e-9:  # opposite: half a turn about any axis across
        across = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
        across /= np.linalg.norm(across)
        return (2 * np.outer(across, across) - np.eye(3)).astype(np.float64)
    x, y, z = np.cross(start, end)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit quaternion [4], wxyz, of a rotation [3, 3]."""
    # The largest of the four squared components is computed from a sum that cannot cancel.
    m = rotation
    trace = np.trace(m)
    squares = np.array([trace, *(2 * np.diag(m) - trace)])
    largest = int(np.argmax(squares))
    products = np.array(
        [
            [1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], 1 + squares[1], m[1, 0] + m[0, 1], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[1, 0] + m[0, 1], 1 + squares[2], m[2, 1] + m[1, 2]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], 1 + squares[3]],
        ]
    )[largest]
    return products / np.linalg.norm(products)


def turn_quaternions(left: NDArray[np.float64], right: NDArray) -> NDArray:
    """Multiply a quaternion [4] with each of [N, 4], wxyz (Hamilton), in the type of the latter."""
    w, x, y, z = left
    matrix = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    return right @ matrix.T.astype(right.dtype)


def turned(quats: NDArray, vectors: NDArray) -> NDArray[np.float64]:
    """Turn each vector [N, 3] by its unit quaternion [N, 4], wxyz (Hamilton)."""
    real, imaginary = np.asarray(quats, np.float64)[:, :1], np.asarray(quats, np.float64)[:, 1:]
    across = np.cross(imaginary, vectors) + real * vectors
    return vectors + 2 * np.cross(imaginary, across)
