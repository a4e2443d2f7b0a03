"""Geometry-aware transformer over anchors (paper section 3.3)."""

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

    def forward(self, tokens: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(tokens)) * self.w3(tokens))


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
        tokens: Tensor,
        rope: tuple[Tensor, Tensor] | None,
        features: Tensor,
        level_shapes: LevelShapes,
        reference: Tensor,
    ) -> Tensor:
        attended = self.self_attention(self.self_attention_norm(tokens), rope)
        tokens = tokens + self.dropout(attended)
        query = self.cross_attention_norm(tokens)
        # The released code adds to the normalised query and drops the stream; the paper does not.
        stream = query if self.residual == "normalised" else tokens
        sampled = self.cross_attention(query, features, level_shapes, reference)
        tokens = stream + self.dropout(sampled)
        return tokens + self.dropout(self.feed_forward(self.ffn_norm(tokens)))


class GeometryTransformer(nn.Module):
    """Anchors to latents; a token starts as its position beside one learned query vector."""

    def __init__(self, config: TransformerConfig, feature_dim: int, num_levels: int):
        super().__init__()
        self.config = config
        self.query_token = nn.Parameter(torch.randn(1, 1, config.dim - 3) * 0.02)
        self.layers = nn.ModuleList(
            Block(config, feature_dim, num_levels) for _ in range(config.num_layers)
        )
        self.norm = nn.RMSNorm(config.dim, eps=RMS_NORM_EPS)

    def forward(
        self,
        anchors: Tensor,
        rope_index: Tensor,
        features: Tensor,
        level_shapes: LevelShapes,
        reference: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Run all blocks.

        Args:
            anchors: [N, 3] positions in the object frame.
            rope_index: [N, 3] integer position of each anchor (read by ``token`` only).
            features: [V, L, C] from the image encoder.
            level_shapes: (H, W) of each feature level.
            reference: [V, N, 2] projected anchors.
            seen: [N, d] that cues add to the first tokens.

        Returns:
            [N, d] latents after the final norm.
        """
        config = self.config
        rope = None
        if config.self_attention == "token" and config.use_rope:
            rope = rope_table(rope_index, config.head_dim, config.rope_base)
        query = self.query_token[0].expand(anchors.shape[0], -1)
        tokens = torch.cat([anchors, query], dim=-1)
        if seen is not None:
            tokens = tokens + seen
        for layer in self.layers:
            tokens = layer(tokens, rope, features, level_shapes, reference)
        return self.norm(tokens)
