"""A rasterizer as one would write it in torch: project all splats, composite tile by tile."""

from __future__ import annotations

import torch

from geolrm.engine.system.extras import installed_version


def projection_name() -> str:
    """Name the projection that is timed: gsplat's where it is installed."""
    version = installed_version("gsplat")
    return "own" if version is None else f"gsplat {version}"


def render(means, opacities, scales, quats, colors, w2c, k, size, *, tile=16, alpha_max=0.99):
    """Render one camera: rgb [H, W, 3] on white. Tensors of float32; `k` in pixels."""
    width, height = size
    front = means @ w2c[2, :3] + w2c[2, 3] >= 0.01
    means, opacities, scales, quats, colors = (
        t[front] for t in (means, opacities, scales, quats, colors)
    )
    project = project_with_gsplat if projection_name() != "own" else project_alone
    mean, conic, depth = project(means, scales, quats, w2c, k, size)
    a, b, c = conic.unbind(-1)
    variance = torch.stack([c, a], -1) / (a * c - b * b)[:, None]
    half = torch.sqrt((2 * torch.log(255 * opacities).clamp_min(0))[:, None] * variance)
    order = torch.argsort(depth, stable=True)
    mean, conic, half, opacities, colors = (
        t[order] for t in (mean, conic, half, opacities, colors)
    )
    low, high = mean - half, mean + half
    image = torch.ones(height, width, 3)
    for y0 in range(0, height, tile):
        in_row = torch.nonzero((high[:, 1] > y0) & (low[:, 1] < y0 + tile)).squeeze(-1)
        row_low, row_high = low[in_row, 0], high[in_row, 0]
        for x0 in range(0, width, tile):
            ids = in_row[(row_high > x0) & (row_low < x0 + tile)]
            if len(ids) == 0:
                continue
            ys = torch.arange(y0, min(y0 + tile, height)) + 0.5
            xs = torch.arange(x0, min(x0 + tile, width)) + 0.5
            grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).view(-1, 1, 2)
            t, rgb = torch.ones(len(grid), 1), torch.zeros(len(grid), 3)
            for chunk in ids.split(512):
                d = grid - mean[chunk]
                a, b, c = conic[chunk].unbind(-1)
                sigma = 0.5 * (a * d[..., 0] ** 2 + c * d[..., 1] ** 2) + b * d[..., 0] * d[..., 1]
                alpha = (opacities[chunk] * torch.exp(-sigma)).clamp_max(alpha_max)
                alpha = torch.where((alpha >= 1 / 255) & (sigma >= 0), alpha, 0)
                after = t * torch.cumprod(1 - alpha, 1)
                before = torch.cat([t, after[:, :-1]], 1)
                rgb += torch.where(after > 1e-4, alpha * before, 0) @ colors[chunk]
                t = after[:, -1:]
                if bool((t <= 1e-4).all()):
                    break
            patch = rgb + t.clamp_min(0)
            image[y0 : y0 + tile, x0 : x0 + tile] = patch.view(len(ys), len(xs), 3)
    return image


def project_with_gsplat(means, scales, quats, w2c, k, size):
    """Project by gsplat's own torch functions, without CUDA.

    Returns:
        Means [N, 2], conics [N, 3] and depths [N].
    """
    from gsplat.cuda import _torch_impl as gsplat  # type: ignore[import-not-found]

    covariances, _ = gsplat._quat_scale_to_covar_preci(quats, scales, True, False)
    pose = (w2c[None], k[None])
    _, mean, depth, conic, _ = gsplat._fully_fused_projection(means, covariances, *pose, *size)
    return mean[0], conic[0], depth[0]


def project_alone(means, scales, quats, w2c, k, size):
    """Project as gsplat does, but without its limits of x/z and y/z."""
    p = means @ w2c[:3, :3].T + w2c[:3, 3]
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        -1,
    ).view(-1, 3, 3)  # fmt: skip
    axes = w2c[:3, :3] @ (rotation * scales[:, None])
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    u, v, inverse = p[:, 0] / p[:, 2], p[:, 1] / p[:, 2], 1 / p[:, 2]
    plane_x = (fx * inverse)[:, None] * (axes[:, 0] - u[:, None] * axes[:, 2])
    plane_y = (fy * inverse)[:, None] * (axes[:, 1] - v[:, None] * axes[:, 2])
    xx = (plane_x * plane_x).sum(-1) + 0.3
    xy = (plane_x * plane_y).sum(-1)
    yy = (plane_y * plane_y).sum(-1) + 0.3
    det = xx * yy - xy * xy
    conic = torch.stack([yy / det, -xy / det, xx / det], -1)
    mean = torch.stack([fx * u + cx, fy * v + cy], -1)
    return mean, conic, p[:, 2]
