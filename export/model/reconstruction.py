"""Reconstruction network: anchors and features to Gaussians (stage 2, paper section 3.3)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geolrm.export.model.config import EncoderConfig, ReconstructionConfig
from geolrm.export.model.cross_attention import LevelShapes
from geolrm.export.model.encoder import ImageEncoder
from geolrm.export.model.geometry import project
from geolrm.export.model.transformer import GeometryTransformer


class DecodedGaussians(NamedTuple):
    """Activated Gaussians in the world frame, those of one anchor after another."""

    means: Tensor  # [N, 3]
    opacities: Tensor  # [N], in (0, 1)
    scales: Tensor  # [N, 3], standard deviations
    quats: Tensor  # [N, 4], wxyz, unit length
    colors: Tensor  # [N, 3] RGB in [0, 1], or [N, 9, 3] SH coefficients


class GaussianDecoder(nn.Module):
    """Two-layer perceptron from a latent to its Gaussians."""

    def __init__(self, config: ReconstructionConfig):
        super().__init__()
        self.config = config
        width = config.gaussians_per_anchor * config.channels_per_gaussian
        self.latent_decoder = nn.Sequential(
            nn.Linear(config.transformer.dim, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, latents: Tensor, anchors: Tensor) -> DecodedGaussians:
        """[N, d] latents and [N, 3] anchors to N * gaussians_per_anchor Gaussians."""
        config = self.config
        raw = self.latent_decoder(latents)
        raw = raw.view(-1, config.gaussians_per_anchor, config.channels_per_gaussian)
        offset, opacity, scale, quat, color = raw.split(
            [3, 1, 3, 4, config.channels_per_gaussian - 11], dim=-1
        )
        fraction = offset.sigmoid() - 0.5 if config.centred_offsets else offset.sigmoid()
        means = anchors[:, None] + fraction * config.offset_max
        quats = quat / torch.linalg.vector_norm(quat, dim=-1, keepdim=True).clamp_min(1e-12)
        if config.use_sh:
            colors = color.reshape(-1, 9, 3)
        else:
            colors = (color.clamp(-0.5, 0.5) + 0.5).reshape(-1, 3)
        return DecodedGaussians(
            means.reshape(-1, 3),
            opacity.sigmoid().reshape(-1),
            (scale.sigmoid() * config.scale_max).reshape(-1, 3),
            quats.reshape(-1, 4),
            colors,
        )


class ReconstructionNetwork(nn.Module):
    """Sparse anchors to Gaussians, with an image encoder of its own unless it is shared."""

    def __init__(
        self, config: ReconstructionConfig, encoder: EncoderConfig, shared_encoder: bool = False
    ):
        super().__init__()
        self.config = config
        self.encoder = None if shared_encoder else ImageEncoder(encoder)
        self.transformer = GeometryTransformer(
            config.transformer, encoder.feature_dim, encoder.num_levels
        )
        self.renderer = GaussianDecoder(config)

    def forward(
        self,
        features: Tensor,
        projection: Tensor,
        anchors: Tensor,
        rope_index: Tensor,
        level_shapes: LevelShapes,
    ) -> DecodedGaussians:
        """Reconstruct.

        Args:
            features: [V, L, C] of this stage's encoder.
            projection: [V, 3, 4] world to normalised image.
            anchors: [N, 3] world positions.
            rope_index: [N, 3] their integer positions for RoPE.
            level_shapes: (H, W) of each feature level.
        """
        reference = project(anchors, projection)
        latents = self.transformer(anchors, rope_index, features, level_shapes, reference)
        return self.renderer(latents, anchors)
