"""Gaussian splatting in double precision: the truth the C++ rasterizer is held against.

One splat at a time over its own pixels, front to back; nothing is approximated or culled.
Frames: OpenCV cameras (x right, y down, z forward); pixel centres at integer + 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Parameters:
    """Every number of the mathematics; the names are those of the C++ side."""

    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    near: float = 0.01
    eps2d: float = 0.3
    alpha_max: float = 0.99
    alpha_min: float = 1 / 255
    transmittance_min: float = 1e-4
    clip_margin: float = 0.3
    antialiased: bool = False


@dataclass(frozen=True)
class Projected:
    """Splats in front of the near plane, in the image plane."""

    index: np.ndarray  # [M] into the scene
    mean: np.ndarray  # [M, 2] pixels
    conic: np.ndarray  # [M, 3] A, B, C
    covariance: np.ndarray  # [M, 2, 2], with eps2d
    opacity: np.ndarray  # [M]
    depth: np.ndarray  # [M] camera z


def rotation(quats: np.ndarray) -> np.ndarray:
    """Rotation matrices [N, 3, 3] of quaternions [N, 4] (wxyz), normalised first."""
    w, x, y, z = (quats / np.linalg.norm(quats, axis=-1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def project(means, opacities, scales, quats, w2c, k, size, p: Parameters) -> Projected:
    """Project to means, conics and depths (steps 1 to 3 of the specification)."""
    width, height = size
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    camera = means @ w2c[:3, :3].T + w2c[:3, 3]
    index = np.flatnonzero(camera[:, 2] >= p.near)
    x, y, z = camera[index].T
    tan_x, tan_y = 0.5 * width / fx, 0.5 * height / fy
    u = np.clip(
        x / z, -(cx / fx + p.clip_margin * tan_x), (width - cx) / fx + p.clip_margin * tan_x
    )
    v = np.clip(
        y / z, -(cy / fy + p.clip_margin * tan_y), (height - cy) / fy + p.clip_margin * tan_y
    )
    zero = np.zeros_like(z)
    jacobian = np.stack(
        [np.stack([fx / z, zero, -fx * u / z], -1), np.stack([zero, fy / z, -fy * v / z], -1)], 1
    )
    axes = rotation(quats[index]) * scales[index, None, :]
    plane = jacobian @ (w2c[:3, :3] @ axes)  # [M, 2, 3]
    covariance = plane @ plane.transpose(0, 2, 1)
    before = np.sum(np.cross(plane[:, 0], plane[:, 1]) ** 2, -1)  # Cauchy-Binet: no cancellation
    trace = covariance[:, 0, 0] + covariance[:, 1, 1]
    after = before + p.eps2d * trace + p.eps2d**2
    covariance = covariance + p.eps2d * np.eye(2)
    opacity = opacities[index].copy()
    ok = after > 0
    if p.antialiased:
        opacity[ok] *= np.sqrt(np.maximum(before[ok] / after[ok], 0))
    safe = np.where(ok, after, 1)
    conic = np.stack(
        [covariance[:, 1, 1] / safe, -covariance[:, 0, 1] / safe, covariance[:, 0, 0] / safe], -1
    )
    mean = np.stack([fx * x / z + cx, fy * y / z + cy], -1)
    keep = ok & (opacity >= p.alpha_min)
    return Projected(index[keep], mean[keep], conic[keep], covariance[keep], opacity[keep], z[keep])


def sh_basis(directions: np.ndarray, count: int) -> np.ndarray:
    """The first `count` real spherical harmonics [N, count] of unit directions [N, 3]."""
    x, y, z = directions.T
    xx, yy, zz = x * x, y * y, z * z
    basis = [
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
    return np.stack(basis[:count], -1)


def sh_colors(means: np.ndarray, sh: np.ndarray, w2c: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of coefficients [N, K, 3] seen from the camera: max(0, SH + 0.5)."""
    centre = -np.linalg.solve(w2c[:3, :3], w2c[:3, 3])
    directions = means - centre
    directions = directions / np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-300)
    return np.maximum(np.einsum("nk,nkc->nc", sh_basis(directions, sh.shape[1]), sh) + 0.5, 0)


def render(
    means,
    opacities,
    scales,
    quats,
    w2c,
    k,
    size,
    *,
    colors=None,
    sh=None,
    p: Parameters | None = None,
) -> dict[str, np.ndarray]:
    """Render one camera: rgb [H, W, 3], alpha [H, W], depth [H, W], all float64."""
    p = p or Parameters()
    as64 = lambda a: np.asarray(a, np.float64)  # noqa: E731
    means, opacities, scales, quats = map(as64, (means, opacities, scales, quats))
    w2c, k = as64(w2c), as64(k)
    width, height = size
    colors = as64(colors) if sh is None else sh_colors(means, as64(sh), w2c)
    s = project(means, opacities, scales, quats, w2c, k, size, p)
    rgb, depth = np.zeros((height, width, 3)), np.zeros((height, width))
    t = np.ones((height, width))
    live = np.ones((height, width), bool)
    reach = np.sqrt(np.maximum(2 * np.log(s.opacity / p.alpha_min), 0))
    half = reach[:, None] * np.sqrt(s.covariance[:, [0, 1], [0, 1]])
    low = np.clip(np.floor(s.mean - half - 0.5), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(s.mean + half + 0.5), 0, [width, height]).astype(int)
    for i in np.lexsort((s.index, s.depth.astype(np.float32))):
        (x0, y0), (x1, y1) = low[i], high[i]
        if x0 >= x1 or y0 >= y1 or not live[y0:y1, x0:x1].any():
            continue
        box = np.s_[y0:y1, x0:x1]
        dx = np.arange(x0, x1) + 0.5 - s.mean[i, 0]
        dy = (np.arange(y0, y1) + 0.5 - s.mean[i, 1])[:, None]
        a, b, c = s.conic[i]
        sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = np.minimum(p.alpha_max, s.opacity[i] * np.exp(-sigma))
        hit = live[box] & (sigma >= 0) & (alpha >= p.alpha_min)
        after = t[box] * (1 - alpha)
        done = hit & (after <= p.transmittance_min)
        add = hit & ~done
        weight = np.where(add, t[box] * alpha, 0)
        rgb[box] += weight[..., None] * colors[s.index[i]]
        depth[box] += weight * s.depth[i]
        t[box] = np.where(add, after, t[box])
        live[box] &= ~done
    rgb += t[..., None] * np.asarray(p.background, np.float64)
    return {"rgb": rgb, "alpha": 1 - t, "depth": depth}
