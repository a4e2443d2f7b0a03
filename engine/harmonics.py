"""Spherical harmonics in the order and signs of 3D Gaussian splatting."""

import numpy as np
from numpy.typing import NDArray


def basis(directions: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """[N, count] values (1, 4, 9 or 16) at unit directions [N, 3]."""
    x, y, z = directions.T
    xx, yy, zz = x * x, y * y, z * z
    columns = [
        np.full_like(x, 0.28209479177387814),
        -0.4886025119029199 * y,
        0.4886025119029199 * z,
        -0.4886025119029199 * x,
        1.0925484305920792 * x * y,
        -1.0925484305920792 * y * z,
        0.31539156525252005 * (2 * zz - xx - yy),
        -1.0925484305920792 * x * z,
        0.5462742152960396 * (xx - yy),
        -0.5900435899266435 * y * (3 * xx - yy),
        2.890611442640554 * x * y * z,
        -0.4570457994644658 * y * (4 * zz - xx - yy),
        0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
        -0.4570457994644658 * x * (4 * zz - xx - yy),
        1.445305721320277 * z * (xx - yy),
        -0.5900435899266435 * x * (xx - 3 * yy),
    ]
    return np.stack(columns[:count], axis=-1)


def turn(sh: NDArray[np.float32], rotation: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coefficients [N, K, 3] of the same radiance after the object was turned.

    A rotation mixes the coefficients of one degree among themselves, linearly: the mixture is read
    off from more directions than there are coefficients.
    """
    count = sh.shape[1]
    directions = np.random.default_rng(0).standard_normal((4 * count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before = basis(directions @ rotation, count)  # where each direction came from
    mixture = np.linalg.lstsq(basis(directions, count), before, rcond=None)[0]
    return np.einsum("jk,nkc->njc", mixture, sh).astype(np.float32)
