"""The released formulation of deformable cross-attention in eager torch: the peer of the bench.

Offsets and attention weights are computed again for every view, every view and level is sampled by
grid_sample on its own, and the outputs of all views are held before they are fused.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from geolrm.export.model import GeoLRM
from geolrm.export.model.cross_attention import DeformableAttention, LevelShapes


class ReleasedDeformableAttention(DeformableAttention):
    """Same parameters, the released order of work."""

    def forward(
        self, query: Tensor, features: Tensor, level_shapes: LevelShapes, reference: Tensor
    ) -> Tensor:
        """Sample for [N, d] queries in each view: [V, N, d]."""
        config = self.config
        heads, points = config.num_heads, config.samples_per_level
        outputs = []
        for view in range(features.shape[0]):
            value = self.value_proj(features[view]).unflatten(1, (heads, -1))
            offsets = self.sampling_offsets(query).unflatten(1, (heads, -1, points, 2))
            weights = self.attention_weights(query).unflatten(1, (heads, -1)).softmax(dim=-1)
            weights = weights.unflatten(2, (-1, points))
            outputs.append(sample_view(value, level_shapes, reference[view], offsets, weights))
        return torch.stack(outputs)


def sample_view(
    value: Tensor, level_shapes: LevelShapes, reference: Tensor, offsets: Tensor, weights: Tensor
) -> Tensor:
    """Sample one view: [L, h, e] values to [N, h * e]."""
    heads, head_dim = value.shape[1:]
    start, sampled = 0, []
    for level, (height, width) in enumerate(level_shapes):
        plane = value[start : start + height * width].permute(1, 2, 0)
        plane = plane.reshape(heads, head_dim, height, width)
        size = torch.tensor([width, height], dtype=value.dtype)
        location = reference[:, None, None] + offsets[:, :, level] / size
        grid = (2 * location - 1).transpose(0, 1)  # [h, N, P, 2]
        sampled.append(F.grid_sample(plane, grid, padding_mode="zeros", align_corners=False))
        start += height * width
    stacked = torch.stack(sampled, dim=-2)  # [h, e, N, levels, P]
    return (
        (stacked * weights.transpose(0, 1)[:, None]).sum(dim=(-2, -1)).permute(2, 0, 1).flatten(1)
    )


def use_released_formulation(model: GeoLRM) -> GeoLRM:
    """Switch every deformable attention of a model to the released order of work, in place."""
    for module in model.modules():
        if isinstance(module, DeformableAttention):
            module.__class__ = ReleasedDeformableAttention
    return model
