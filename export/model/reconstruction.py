"""Reconstruction network: anchors and features to Gaussians (stage 2, paper section 3.3)."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from geolrm.export.model import cues
from geolrm.export.model.config import CueConfig, EncoderConfig, ReconstructionConfig
from geolrm.export.model.cross_attention import LevelShapes
from geolrm.export.model.encoder import ImageEncoder
from geolrm.export.model.geometry import project
from geolrm.export.model.pixel_colors import PixelColors
from geolrm.export.model.transformer import GeometryTransformer
from geolrm.export.model.volume import look


class DecodedGaussians(NamedTuple):
    """Activated Gaussians in the object frame, those of one anchor after another."""

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
        if config.centred_offsets:
            self.spread()

    def spread(self) -> None:
        """Start with the Gaussians of an anchor spread over its voxel, upright and small."""
        config = self.config
        last = cast(nn.Linear, self.latent_decoder[2])
        bias = last.bias.detach()
        bias = bias.view(config.gaussians_per_anchor, config.channels_per_gaussian)
        bias[:, :3].normal_(std=1.5)
        bias[:, 3] = 0
        bias[:, 4:7] = -0.6
        bias[:, 7:11] = torch.tensor([1.0, 0, 0, 0])

    def forward(self, latents: Tensor, anchors: Tensor) -> DecodedGaussians:
        """Decode [N, d] latents at [N, 3] anchors to N * gaussians_per_anchor Gaussians."""
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
        self,
        config: ReconstructionConfig,
        encoder: EncoderConfig,
        shared_encoder: bool = False,
        cue_config: CueConfig | None = None,
    ):
        super().__init__()
        self.config, self.cue_config = config, cue_config
        self.encoder = None if shared_encoder else ImageEncoder(encoder)
        self.transformer = GeometryTransformer(
            config.transformer, encoder.feature_dim, encoder.num_levels
        )
        self.renderer = GaussianDecoder(config)
        if cue_config is not None and cue_config.volume_channels > 0:
            self.read_volume = nn.Linear(cue_config.volume_channels + 1, config.transformer.dim)
        if cue_config is not None and cue_config.pixel_colors:
            self.pixel_colors = PixelColors(config, encoder, cue_config.occlusion)

    def forward(
        self,
        features: Tensor,
        projection: Tensor,
        anchors: Tensor,
        rope_index: Tensor,
        level_shapes: LevelShapes,
        foreground: Tensor | None = None,
        volume: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> DecodedGaussians:
        """Reconstruct Gaussians.

        Args:
            features: [V, L, C] of this stage's encoder.
            projection: [V, 3, 4] object frame to normalised image.
            anchors: [N, 3] positions in the object frame.
            rope_index: [N, 3] their integer positions for RoPE.
            level_shapes: (H, W) of each feature level.
            foreground: [V, 4, S, S] premultiplied RGBA, read by models with cues.
            volume: [1, C, G, G, G] of the proposal, read by models with cues.
            valid: [V, S, S], 0 where nothing is known, read by models with cues; None: it is 1.
        """
        reference = project(anchors, projection)
        if valid is not None:
            known = cues.known_points(valid, reference)
            reference = cues.away_from_unknown(reference, known)
        seen = None
        if volume is not None:
            seen = self.read_volume(cues.sample_volume(volume, anchors))
        latents = self.transformer(anchors, rope_index, features, level_shapes, reference, seen)
        gaussians = self.renderer(latents, anchors)
        if self.cue_config is None or foreground is None:
            return gaussians
        planes = cues.with_unknown(foreground, valid)
        return self.apply_pixels(
            gaussians, latents, features, level_shapes, reference, projection, planes, volume
        )

    def apply_pixels(
        self,
        gaussians: DecodedGaussians,
        latents: Tensor,
        features: Tensor,
        level_shapes: LevelShapes,
        anchor_reference: Tensor,
        projection: Tensor,
        planes: Tensor,
        volume: Tensor | None,
    ) -> DecodedGaussians:
        """Gate opacities by alpha and blend colours with pixels, at the projected Gaussians."""
        config = self.cue_config
        assert config is not None, "only models with cues read pixels"
        reference = project(gaussians.means, projection)
        color, alpha, _, inside, depth = look(planes, projection, gaussians.means, reference)
        if config.alpha_gate:
            carved = cues.hull_alpha(alpha, inside).amin(dim=0)
            gaussians = gaussians._replace(opacities=gaussians.opacities * carved)
        if not config.pixel_colors:
            return gaussians
        seen = torch.ones_like(alpha)
        if config.occlusion and volume is not None:
            grid = volume.shape[2]
            transmitted = cues.transmittance(volume.detach()[0, -1], projection)
            seen = cues.visibility(
                transmitted, projection, reference.detach(), depth.detach(), grid
            )
        blended = self.pixel_colors(
            latents, features, level_shapes, anchor_reference, color, alpha, seen, gaussians.colors
        )
        return gaussians._replace(colors=blended)
