"""Spherical harmonics of splat colours: to and from plain colours, and how they turn."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

SH_C0 = 0.28209479177387814  # the harmonic of degree 0


def dc_of_colors(colors: NDArray) -> NDArray[np.float32]:
    """Turn colours in [0, 1] into coefficients of degree 0, [N, 3]."""
    return (colors - np.float32(0.5)) / np.float32(SH_C0)


def colors_of_dc(dc: NDArray) -> NDArray[np.float32]:
    """Turn coefficients of degree 0 into colours, [N, 3]."""
    return dc * np.float32(SH_C0) + np.float32(0.5)


def of_degree(sh: NDArray, degree: int) -> NDArray[np.float32]:
    """Keep the coefficients [N, K, 3] up to a degree, or pad them with zeros, which show nothing.

    Returns:
        [N, (degree + 1)^2, 3].
    """
    wanted = (degree + 1) ** 2
    if sh.shape[1] >= wanted:
        return np.ascontiguousarray(sh[:, :wanted], np.float32)
    padded = np.zeros((len(sh), wanted, 3), np.float32)
    padded[:, : sh.shape[1]] = sh
    return padded


def basis(directions: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Evaluate real harmonics [D, K], in the order and with the signs of 3D Gaussian splatting.

    Args:
        directions: [D, 3], of unit length.
        count: K = 1, 4, 9 or 16.
    """
    x, y, z = directions.T
    columns = [np.full(len(directions), SH_C0)]
    if count > 1:
        columns += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if count > 4:
        columns += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * z * z - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if count > 9:
        columns += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * z * z - 1),
            0.3731763325901154 * z * (5 * z * z - 3),
            -0.4570457994644658 * x * (5 * z * z - 1),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return np.stack(columns, axis=1)


def turn(sh: NDArray, rotation: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn coefficients [N, K, 3] with their splats, by a rotation [3, 3]."""
    count = sh.shape[1]
    matrix = _turning_matrix(count, rotation.astype(np.float64).tobytes())
    return np.einsum("jk,nkc->njc", matrix, sh).astype(np.float32)


@cache
def _turning_matrix(count: int, rotation: bytes) -> NDArray[np.float64]:
    """Solve for [K, K]: a turned splat shows along R d what the splat showed along d."""
    turned = np.frombuffer(rotation).reshape(3, 3)
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((8 * count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    after, before = basis(directions @ turned.T, count), basis(directions, count)
    matrix = np.linalg.lstsq(after, before, rcond=None)[0]
    matrix[np.abs(matrix) < 1e-12] = 0  # the degrees do not mix
    return matrix.astype(np.float64)
