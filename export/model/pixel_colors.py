"""Colour of a Gaussian as a softmax over views of the input pixels at its projection."""

import torch
from torch import Tensor, nn

from geolrm.export.model.config import EncoderConfig, ReconstructionConfig
from geolrm.export.model.cross_attention import LevelShapes
from geolrm.export.model.cues import sample_planes

KEY_CHANNELS = 16
LOG_FLOOR = 1e-3


class PixelColors(nn.Module):
    """Learned trust: in each view, and in pixels rather than the decoded colour."""

    def __init__(self, config: ReconstructionConfig, encoder: EncoderConfig, occlusion: bool):
        super().__init__()
        self.count, self.occlusion = config.gaussians_per_anchor, occlusion
        self.query = nn.Linear(config.transformer.dim, self.count * KEY_CHANNELS)
        self.key = nn.Linear(encoder.feature_dim, KEY_CHANNELS)
        self.trust = nn.Linear(config.transformer.dim, self.count)
        self.sharpness = nn.Parameter(torch.tensor([1.0, 2.0]))  # of ln alpha and ln visibility
        nn.init.zeros_(self.trust.weight)
        nn.init.constant_(self.trust.bias, 2.0)  # start from the pixels
        nn.init.normal_(self.query.weight, std=0.02)

    def forward(
        self,
        latents: Tensor,
        features: Tensor,
        level_shapes: LevelShapes,
        anchor_reference: Tensor,
        color: Tensor,
        alpha: Tensor,
        seen: Tensor,
        learned: Tensor,
    ) -> Tensor:
        """Blend pixels over views, and with the decoded colours.

        Args:
            latents: [N, d] of the anchors.
            features: [V, L, C] of the encoder; its last level is read.
            level_shapes: (H, W) of each level.
            anchor_reference: [V, N, 2] projected anchors.
            color: [V, M, 3] pixels at the M = N * count Gaussians.
            alpha: [V, M] of those pixels, 0 outside the image.
            seen: [V, M] visibility.
            learned: [M, 3] decoded colours.

        Returns:
            [M, 3] colours.
        """
        height, width = level_shapes[-1]
        level = features[:, -height * width :].unflatten(1, (height, width))
        # Squeezed before it is sampled: a linear map and an interpolation commute.
        keys = self.key(level).permute(0, 3, 1, 2)
        key = sample_planes(keys, anchor_reference)  # [V, N, K]
        query = self.query(latents).unflatten(1, (self.count, KEY_CHANNELS))
        logits = (query[None] * key[:, :, None]).sum(dim=-1) * KEY_CHANNELS**-0.5  # [V, N, count]
        logits = logits.flatten(1) + self.sharpness[0] * (alpha + LOG_FLOOR).log()
        if self.occlusion:
            logits = logits + self.sharpness[1] * (seen + LOG_FLOOR).log()
        weight = logits.softmax(dim=0)[..., None]
        pixels = (weight * color).sum(dim=0)
        trust = self.trust(latents).sigmoid().reshape(-1, 1)
        # Where no view has the Gaussian inside its mask there is no pixel to trust.
        trust = trust * alpha.amax(dim=0)[:, None]
        return (trust * pixels + (1 - trust) * learned).clamp(0, 1)
