"""Deformable cross-attention into the feature levels of all views (paper section 3.3)."""

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from geolrm.export.deformable_sampling import LevelShapes, sample_and_weigh
from geolrm.export.model.config import TransformerConfig
from geolrm.export.onnx_operator import deformable_cross_attention

Sampler = Callable[[Tensor, LevelShapes, Tensor, Tensor, Tensor], Tensor]
_sampler: Sampler = sample_and_weigh


@contextlib.contextmanager
def use_sampler(sampler: Sampler) -> Iterator[None]:
    """Let every model sample with ``sampler``, of :func:`sample_and_weigh`'s arguments.

    The block must hold the backward pass too where activations are recomputed there.
    """
    global _sampler
    before, _sampler = _sampler, sampler
    try:
        yield
    finally:
        _sampler = before


class DeformableAttention(nn.Module):
    """Deformable attention into each view: offsets and weights depend on the query alone."""

    def __init__(self, config: TransformerConfig, feature_dim: int, num_levels: int):
        super().__init__()
        self.config, self.num_levels = config, num_levels
        samples = config.num_heads * num_levels * config.samples_per_level
        if config.num_points > 0:
            self.sampling_offsets = nn.Linear(config.dim, 2 * samples)
        self.attention_weights = nn.Linear(config.dim, samples)
        self.value_proj = nn.Linear(feature_dim, config.dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with offsets in a ring, a direction a head; uniform weights; Xavier values."""
        config = self.config
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        nn.init.xavier_uniform_(self.value_proj.weight)
        nn.init.zeros_(self.value_proj.bias)
        if config.num_points == 0:
            return
        angle = torch.arange(config.num_heads) * (2 * math.pi / config.num_heads)
        ring = torch.stack([angle.cos(), angle.sin()], dim=-1)
        ring = ring / ring.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, config.num_points + 1)
        bias = ring[:, None, None] * steps[None, None, :, None]
        bias = bias.expand(-1, self.num_levels, -1, -1)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.flatten())

    def offsets(self, query: Tensor) -> Tensor:
        """Return the offsets of [N, d] queries in pixels: [N, h * levels * P * 2]."""
        if self.config.num_points == 0:
            return query.new_zeros(query.shape[0], 2 * self.attention_weights.out_features)
        return self.sampling_offsets(query)

    def project_values(self, features: Tensor) -> Tensor:
        """Project features [V, L, C] to values [V, L, d]."""
        return self.value_proj(features.flatten(0, 1)).unflatten(0, features.shape[:2])

    def forward(
        self, query: Tensor, features: Tensor, level_shapes: LevelShapes, reference: Tensor
    ) -> Tensor:
        """Sample for [N, d] queries in each view: [V, N, d]."""
        config = self.config
        shape = (config.num_heads, self.num_levels, config.samples_per_level)
        return _sampler(
            self.project_values(features).unflatten(2, (config.num_heads, -1)),
            level_shapes,
            reference,
            self.offsets(query).unflatten(1, (*shape, 2)),
            self.attention_weights(query).unflatten(1, (config.num_heads, -1)),
        )


class CrossAttention(nn.Module):
    """Deformable attention into each view, fused over views by a learned softmax."""

    def __init__(self, config: TransformerConfig, feature_dim: int, num_levels: int):
        super().__init__()
        self.deformable_attention = DeformableAttention(config, feature_dim, num_levels)
        self.output_proj = nn.Linear(config.dim, config.dim)
        self.cross_view_weight = nn.Linear(config.dim, 1)
        nn.init.xavier_uniform_(self.output_proj.weight)
        nn.init.zeros_(self.output_proj.bias)

    def forward(
        self, query: Tensor, features: Tensor, level_shapes: LevelShapes, reference: Tensor
    ) -> Tensor:
        """Attend: [N, d] queries to [N, d]; every view enters the softmax, visible or not."""
        if torch.compiler.is_exporting():
            return self.output_proj(self.fused(query, features, level_shapes, reference))
        per_view = self.deformable_attention(query, features, level_shapes, reference)
        weight = self.cross_view_weight(per_view).softmax(dim=0)  # [V, N, 1]
        return self.output_proj((weight * per_view).sum(dim=0))

    def fused(
        self, query: Tensor, features: Tensor, level_shapes: LevelShapes, reference: Tensor
    ) -> Tensor:
        """Attend up to the output projection by the one operator that export emits, to [N, d]."""
        attention = self.deformable_attention
        return deformable_cross_attention(
            attention.project_values(features),
            reference,
            attention.offsets(query),
            attention.attention_weights(query),
            self.cross_view_weight.weight[0],
            self.cross_view_weight.bias,
            [side for shape in level_shapes for side in shape],
            attention.config.num_heads,
            attention.config.samples_per_level,
        )
