"""Per-voxel refinement of the proposal by 3D convolutions, in two passes around occlusion."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geolrm.export.model import cues
from geolrm.export.model.config import CueConfig, ProposalConfig

MASK_CHANNELS, COLOR_CHANNELS = 2, 7  # of the statistics below
LATENT_CHANNELS = 8  # of a voxel, unfolded from the latent of its query
FEATURE_CHANNELS = 8  # of image features whose agreement over views a voxel is told
POOL = 4  # pixels that a voxel's sample averages: about what a voxel covers
GROUPS = 8


class Refined(NamedTuple):
    """Occupancy per voxel, and what the anchors may read of it."""

    logits: Tensor  # [G, G, G], x slowest
    coarse_logits: Tensor  # [G, G, G] of the first pass
    features: Tensor  # [1, C + 1, G, G, G], the logits last


class ConvBlock(nn.Module):
    """Convolution, group norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, outputs)

    def forward(self, volume: Tensor) -> Tensor:
        return F.silu(self.norm(self.conv(volume)))


class VolumeRefinement(nn.Module):
    """A small U-Net over the voxel grid, then a pass that knows which views see a voxel."""

    def __init__(self, config: ProposalConfig, feature_dim: int, cue_config: CueConfig):
        super().__init__()
        self.config, self.occlusion = config, cue_config.occlusion
        self.statistics, width = cue_config.statistics, cue_config.volume_channels
        evidence = 2 * FEATURE_CHANNELS
        evidence += MASK_CHANNELS + COLOR_CHANNELS if self.statistics else 0
        self.squeeze = nn.Linear(feature_dim, FEATURE_CHANNELS)
        self.unfold = nn.Linear(config.transformer.dim, LATENT_CHANNELS * config.token_res**3)
        self.entry = ConvBlock(evidence + LATENT_CHANNELS, width)
        self.down = nn.Sequential(
            ConvBlock(width, 2 * width, stride=2), ConvBlock(2 * width, 2 * width)
        )
        self.deep = nn.Sequential(
            ConvBlock(2 * width, 4 * width, stride=2), ConvBlock(4 * width, 4 * width)
        )
        self.up = nn.ConvTranspose3d(4 * width, 2 * width, 2, stride=2)
        self.middle = ConvBlock(4 * width, 2 * width)
        self.rise = nn.ConvTranspose3d(2 * width, width, 2, stride=2)
        self.exit = ConvBlock(2 * width, width)
        self.head = nn.Conv3d(width, 1, 1)
        if self.occlusion:
            self.again = ConvBlock(width + 1 + COLOR_CHANNELS, width)
            self.last = ConvBlock(width, width)
            self.final_head = nn.Conv3d(width, 1, 1)

    def forward(
        self,
        latents: Tensor,
        level: Tensor,
        foreground: Tensor,
        projection: Tensor,
        centres: Tensor,
        reference: Tensor,
        valid: Tensor | None = None,
    ) -> Refined:
        """Refine the occupancy that the proposal's latents hold.

        Args:
            latents: [Q^3, d] of the proposal's queries.
            level: [V, H, W, C] image features.
            foreground: [V, 4, S, S], premultiplied.
            projection: [V, 3, 4].
            centres: [G^3, 3] voxel centres, x slowest.
            reference: [V, G^3, 2] their projections.
            valid: [V, S, S], 0 where nothing is known; None: it is 1.
        """
        grid = self.config.grid_size
        planes = F.avg_pool2d(cues.with_unknown(foreground, valid), POOL)
        color, alpha, known, inside, depth = look(planes, projection, centres, reference)
        share = cues.share_of_known(known)
        rows = [self.agreement(level, reference, alpha)]
        if self.statistics:
            hull = cues.hull_alpha(alpha, inside)
            mean = torch.where(known.any(dim=0), (hull * share).mean(dim=0), 1.0)
            masks = [hull.amin(dim=0)[:, None], mean[:, None]]
            rows = [*masks, cues.color_statistics(color, alpha * share), *rows]
        statistics = torch.cat(rows, dim=-1)
        unfolded = unfold_queries(self.unfold(latents), self.config)
        volume = torch.cat([as_volume(statistics, grid), unfolded], dim=1)
        high = self.entry(volume)
        middle = self.down(high)
        deep = self.deep(middle)
        middle = self.middle(torch.cat([middle, self.up(deep)], dim=1))
        features = self.exit(torch.cat([high, self.rise(middle)], dim=1))
        coarse = self.head(features)
        logits = coarse
        if self.occlusion:
            transmitted = cues.transmittance(coarse.detach()[0, 0], projection)
            seen = cues.visibility(transmitted, projection, reference, depth, grid)
            again = cues.color_statistics(color, alpha * share * seen)
            evidence = torch.cat([features, coarse, as_volume(again, grid)], dim=1)
            features = self.last(self.again(evidence)) + features
            logits = coarse + self.final_head(features)
        return Refined(logits[0, 0], coarse[0, 0], torch.cat([features, logits], dim=1))

    def agreement(self, level: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
        """Return mean and deviation over views of squeezed image features, [G^3, 2 F]."""
        squeezed = self.squeeze(level).permute(0, 3, 1, 2)
        sampled = cues.sample_planes(squeezed, reference)  # [V, G^3, F]
        return cues.color_statistics(sampled, weight)[:, 1:]


def look(
    planes: Tensor, projection: Tensor, points: Tensor, reference: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Sample the views at points [M, 3] whose projections ``reference`` [V, M, 2] are known.

    Args:
        planes: [V, 5, S, S] of :func:`geolrm.export.model.cues.with_unknown`.
        projection: [V, 3, 4].
        points: [M, 3] in the object frame.
        reference: [V, M, 2].

    Returns:
        Colours [V, M, 3], alpha (0 outside the image and where it is unknown), whether the point
        is not unknown, whether it is known and inside, and depth, each [V, M].
    """
    depth = cues.camera_depth(points, projection)
    inside = cues.inside_image(reference, depth)
    color, alpha, known = cues.sample_foreground(planes, reference)
    inside = inside & known
    return color, alpha * inside, known, inside, depth


def as_volume(rows: Tensor, grid: int) -> Tensor:
    """Reshape [G^3, C] rows, x slowest, to [1, C, G, G, G]."""
    return rows.T.reshape(1, rows.shape[1], grid, grid, grid)


def unfold_queries(rows: Tensor, config: ProposalConfig) -> Tensor:
    """Unfold [Q^3, C r^3] outputs of queries to [1, C, G, G, G]: each covers r^3 voxels."""
    side, res = config.queries_per_axis, config.token_res
    blocks = rows.view(side, side, side, -1, res, res, res)
    return blocks.permute(3, 0, 4, 1, 5, 2, 6).reshape(1, -1, *[side * res] * 3)
