"""Geometry-aware transformer over anchors (paper section 3.3)."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geolrm.export.model.attention import SelfAttention, rope_table
from geolrm.export.model.config import TransformerConfig
from geolrm.export.model.cross_attention import CrossAttention, LevelShapes

RMS_NORM_EPS = 1e-5


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.ffn_dim, bias=False)
        self.w2 = nn.Linear(config.ffn_dim, config.dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.ffn_dim, bias=False)

    def forward(self, queries: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(queries)) * self.w3(queries))


class Block(nn.Module):
    """Self-attention, deformable cross-attention, feed-forward; RMS norm before each."""

    def __init__(self, config: TransformerConfig, feature_dim: int, num_levels: int):
        super().__init__()
        self.residual = config.cross_attention_residual
        self.self_attention = SelfAttention(config)
        self.cross_attention = CrossAttention(config, feature_dim, num_levels)
        self.feed_forward = FeedForward(config)
        self.self_attention_norm = nn.RMSNorm(config.dim, eps=RMS_NORM_EPS)
        self.cross_attention_norm = nn.RMSNorm(config.dim, eps=RMS_NORM_EPS)
        self.ffn_norm = nn.RMSNorm(config.dim, eps=RMS_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        queries: Tensor,
        rope: tuple[Tensor, Tensor] | None,
        features: Tensor,
        level_shapes: LevelShapes,
        reference: Tensor,
    ) -> Tensor:
        attended = self.self_attention(self.self_attention_norm(queries), rope)
        queries = queries + self.dropout(attended)
        normalised = self.cross_attention_norm(queries)
        # The released code adds to its normalised input and drops the stream; the paper does not.
        stream = normalised if self.residual == "normalised" else queries
        sampled = self.cross_attention(normalised, features, level_shapes, reference)
        queries = stream + self.dropout(sampled)
        return queries + self.dropout(self.feed_forward(self.ffn_norm(queries)))


class GeometryTransformer(nn.Module):
    """Anchors to latents; a query starts as its position beside one learned vector."""

    def __init__(self, config: TransformerConfig, feature_dim: int, num_levels: int):
        super().__init__()
        self.config = config
        self.query_token = nn.Parameter(torch.randn(1, 1, config.dim - 3) * 0.02)
        self.layers = nn.ModuleList(
            Block(config, feature_dim, num_levels) for _ in range(config.num_layers)
        )
        self.norm = nn.RMSNorm(config.dim, eps=RMS_NORM_EPS)

    @property
    def blocks(self) -> list[Block]:
        """The layers in order, by their type."""
        return cast(list[Block], list(self.layers))

    def forward(
        self,
        anchors: Tensor,
        rope_index: Tensor,
        features: Tensor,
        level_shapes: LevelShapes,
        reference: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Decode anchors to latents.

        Args:
            anchors: [N, 3] positions in the object frame.
            rope_index: [N, 3] integer position of each anchor (read by ``token`` only).
            features: [V, L, C] from the image encoder.
            level_shapes: (H, W) of each feature level.
            reference: [V, N, 2] projected anchors.
            seen: [N, d] that cues add to the queries at the start.

        Returns:
            [N, d] latents after the final norm.
        """
        config = self.config
        rope = None
        if config.self_attention == "token" and config.use_rope:
            rope = rope_table(rope_index, config.head_dim, config.rope_base)
        learned = self.query_token[0].expand(anchors.shape[0], -1)
        queries = torch.cat([anchors, learned], dim=-1)
        if seen is not None:
            queries = queries + seen
        for layer in self.layers:
            queries = layer(queries, rope, features, level_shapes, reference)
        return self.norm(queries)
