"""Deformable sampling in plain torch: differentiable, and what the fused operator stands for."""

import torch
import torch.nn.functional as F
from torch import Tensor

LevelShapes = tuple[tuple[int, int], ...]


def sample_and_weigh(
    value: Tensor, level_shapes: LevelShapes, reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """Sample each view where offsets point, by grid_sample, and sum with weights: the truth.

    Args:
        value: [V, L, h, e] projected features.
        level_shapes: (H, W) of each level.
        reference: [V, N, 2] projected queries, (u, v) in [0, 1].
        offsets: [N, h, levels, P, 2], in pixels of their level.
        logits: [N, h, levels * P].

    Returns:
        [V, N, h * e], one per view.
    """
    views, _, heads, head_dim = value.shape
    count, points = offsets.shape[0], offsets.shape[3]
    weights = logits.softmax(dim=-1).unflatten(2, (len(level_shapes), points))
    output, start = value.new_zeros(()), 0
    for level, (height, width) in enumerate(level_shapes):
        size = torch.tensor([width, height], dtype=value.dtype, device=value.device)
        location = reference[:, :, None, None] + offsets[None, :, :, level] / size
        grid = (2 * location - 1).permute(0, 2, 1, 3, 4).flatten(0, 1)  # [V h, N, P, 2]
        plane = value[:, start : start + height * width].permute(0, 2, 3, 1)
        plane = plane.reshape(views * heads, head_dim, height, width)
        sampled = F.grid_sample(plane, grid, padding_mode="zeros", align_corners=False)
        sampled = sampled.view(views, heads, head_dim, count, points)
        output = output + torch.einsum("vhenp,nhp->vnhe", sampled, weights[:, :, level])
        start += height * width
    return output.flatten(2)
