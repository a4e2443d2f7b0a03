"""Geometric cues: what masks, pixels and occlusion say about a point before anything is learned.

None of them is in the released model; :class:`~geolrm.export.model.config.CueConfig` names them.
A *foreground* is [V, 4, S, S]: RGB premultiplied by alpha, then alpha. *Valid* is [V, S, S], 1
where a view shows something, and 0 where nothing is known of it and the foreground is 0. A point
that falls on the latter counts for that view as one outside of its image, and the views that know
it stand for those that do not; where all is valid, every number is what it is without.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ALPHA_FLOOR = 1e-3  # below it a colour is noise
# In cube sides, before and behind the origin; the cube's half diagonal is 0.87.
FRUSTUM_RADIUS = 0.8
FRUSTUM_SIZE = 40  # samples along each axis of a view's frustum
OCCLUSION_LAG = 1.5  # voxels: a surface must not hide itself
UNKNOWN = 0.5  # share of a sample's weights on what is not valid, from which it is unknown
OUTSIDE = -8.0  # a reference so far from every image that nothing is sampled there


def camera_depth(points: Tensor, projection: Tensor) -> Tensor:
    """Return depths along the optical axes, positive in front: [M, 3], [V, 3, 4] to [V, M]."""
    return -(points @ projection[:, 2, :3].T + projection[:, 2, 3]).T


def inside_image(reference: Tensor, depth: Tensor) -> Tensor:
    """Tell which points lie inside a view's image: [V, M, 2] and depths [V, M] to [V, M]."""
    return ((reference > 0) & (reference < 1)).all(dim=-1) & (depth > 0)


def sample_planes(planes: Tensor, reference: Tensor) -> Tensor:
    """Sample bilinearly, zero outside: [V, C, H, W] at [V, M, 2] (u, v) to [V, M, C]."""
    grid = (2 * reference - 1)[:, None]  # [V, 1, M, 2]
    sampled = F.grid_sample(planes, grid, padding_mode="zeros", align_corners=False)
    return sampled[:, :, 0].transpose(1, 2)


def with_unknown(foreground: Tensor, valid: Tensor | None) -> Tensor:
    """Join a foreground and what is unknown of it, 1 - valid, to [V, 5, S, S]; None: it is 1."""
    if valid is None:
        valid = torch.ones_like(foreground[:, 3])
    return torch.cat([foreground, 1 - valid[:, None]], dim=1)


def sample_foreground(planes: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sample every view bilinearly: averages of what is valid, zero outside.

    Args:
        planes: [V, 5, S, S] of :func:`with_unknown`.
        reference: [V, M, 2] (u, v).

    Returns:
        Straight colours [V, M, 3], alpha [V, M], and which points are not unknown [V, M].
    """
    sampled = sample_planes(planes, reference)
    alpha, unknown = sampled[..., 3], sampled[..., 4]
    color = sampled[..., :3] / alpha.clamp_min(ALPHA_FLOOR)[..., None]
    return color, alpha / (1 - unknown).clamp_min(UNKNOWN), unknown < UNKNOWN


def known_points(valid: Tensor, reference: Tensor) -> Tensor:
    """Tell which points are not unknown to a view: [V, S, S] and [V, M, 2] to [V, M]."""
    return sample_planes(1 - valid[:, None], reference)[..., 0] < UNKNOWN


def away_from_unknown(reference: Tensor, known: Tensor) -> Tensor:
    """Move the references [V, M, 2] of unknown points outside of the image."""
    return torch.where(known[..., None], reference, torch.full_like(reference, OUTSIDE))


def share_of_known(known: Tensor) -> Tensor:
    """Return weights of views for means over V [V, M]: unknown ones 0, the others V / known."""
    known = known.to(torch.float32)
    return known * (known.shape[0] / known.sum(dim=0).clamp_min(1))


def hull_alpha(alpha: Tensor, inside: Tensor) -> Tensor:
    """Return alpha for carving, [V, M]: outside an image it is 1, unknown and so not empty."""
    return torch.where(inside, alpha, torch.ones_like(alpha))


def color_statistics(color: Tensor, weight: Tensor) -> Tensor:
    """Return mean weight, mean colour and its deviation over views: photo-consistency.

    Args:
        color: [V, M, C] colours, or any features.
        weight: [V, M], at least 0.

    Returns:
        [M, 1 + 2 C].
    """
    total = weight.sum(dim=0)[:, None]
    share = weight[..., None] / (total + 1e-4)
    mean = (share * color).sum(dim=0)
    variance = (share * (color - mean).square()).sum(dim=0)
    return torch.cat([total / weight.shape[0], mean, (variance + 1e-4).sqrt()], dim=-1)


def sample_volume(volume: Tensor, points: Tensor) -> Tensor:
    """Sample a volume over the object cube trilinearly; the outer voxel centres lie on its faces.

    Args:
        volume: [1, C, G, G, G], x slowest.
        points: [M, 3] in the object frame; zero is read outside the cube.

    Returns:
        [M, C].
    """
    grid = (2 * points.flip(-1))[None, None, None]  # [1, 1, 1, M, 3] as (z, y, x)
    sampled = F.grid_sample(volume, grid, padding_mode="zeros", align_corners=True)
    return sampled[0, :, 0, 0].T


def invert_3x3(matrix: Tensor) -> Tensor:
    """Invert [V, 3, 3] matrices by the adjugate, which every backend can run."""
    a, b, c = matrix.unbind(dim=1)  # rows
    cross = torch.stack([cross3(b, c), cross3(c, a), cross3(a, b)], dim=2)
    return cross / (a * cross3(b, c)).sum(dim=1)[:, None, None]


def cross3(a: Tensor, b: Tensor) -> Tensor:
    """Return the cross products of [V, 3] vectors."""
    x, y, z = (0, 1, 2)
    return torch.stack(
        [
            a[:, y] * b[:, z] - a[:, z] * b[:, y],
            a[:, z] * b[:, x] - a[:, x] * b[:, z],
            a[:, x] * b[:, y] - a[:, y] * b[:, x],
        ],
        dim=1,
    )


def frustum_points(projection: Tensor, size: int = FRUSTUM_SIZE) -> Tensor:
    """Return the points, in the object frame, of a regular grid in each view's frustum.

    Args:
        projection: [V, 3, 4].
        size: Samples along depth, rows and columns.

    Returns:
        [V, depth, row, column, 3].
    """
    cells = (torch.arange(size, device=projection.device, dtype=torch.float32) + 0.5) / size
    origin = -projection[:, 2, 3][:, None]  # depth of the object frame's origin
    depth = origin + FRUSTUM_RADIUS * (2 * cells - 1)  # [V, D]
    depth = depth[:, :, None, None].expand(-1, -1, size, size)
    u, v = cells[None, None, None, :], cells[None, None, :, None]
    # From u = 1 - a / z, v = b / z and z = -depth (see `project`).
    camera = torch.stack([(u - 1) * depth, -v * depth, -depth], dim=-1)
    moved = camera - projection[:, None, None, None, :, 3]
    inverse = invert_3x3(projection[:, :, :3])
    return (moved.flatten(1, 3) @ inverse.transpose(1, 2)).unflatten(1, (size, size, size))


def transmittance(logits: Tensor, projection: Tensor) -> Tensor:
    """Return the share of light that reaches each view from each cell of its frustum.

    The occupancy is read as an absorbing medium: a voxel of logit x has the optical depth
    softplus(x), which is -ln(1 - sigmoid(x)).

    Args:
        logits: [G, G, G] occupancy, x slowest.
        projection: [V, 3, 4].

    Returns:
        [V, 1, D, D, D] over depth, row and column.
    """
    grid_size, views = logits.shape[0], projection.shape[0]
    points = frustum_points(projection)
    size = points.shape[1]
    density = F.softplus(logits)[None, None]
    absorbed = sample_volume(density, points.reshape(-1, 3))
    step = 2 * FRUSTUM_RADIUS / size * (grid_size - 1)  # in voxels
    absorbed = absorbed.reshape(views, 1, size, size, size) * step
    return torch.exp(absorbed - absorbed.cumsum(dim=2))


def visibility(
    transmitted: Tensor, projection: Tensor, reference: Tensor, depth: Tensor, grid_size: int
) -> Tensor:
    """Return how much of each point every view sees, in [0, 1].

    Args:
        transmitted: [V, 1, D, D, D] of :func:`transmittance`.
        projection: [V, 3, 4].
        reference: [V, M, 2] projected points.
        depth: [V, M] of the points.
        grid_size: Voxels along one axis of the occupancy.

    Returns:
        [V, M].
    """
    lag = OCCLUSION_LAG / (grid_size - 1)
    ahead = (depth - lag + projection[:, None, 2, 3]) / FRUSTUM_RADIUS
    grid = torch.cat([2 * reference - 1, ahead[..., None]], dim=-1)[:, None, None]
    return F.grid_sample(transmitted, grid, padding_mode="border", align_corners=False)[:, 0, 0, 0]
