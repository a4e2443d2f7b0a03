"""Proposal network: features to occupancy logits (stage 1, paper section 3.3)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_centres
from geolrm.export.model import cues
from geolrm.export.model.config import CueConfig, EncoderConfig, ProposalConfig
from geolrm.export.model.cross_attention import LevelShapes
from geolrm.export.model.encoder import ImageEncoder
from geolrm.export.model.geometry import project
from geolrm.export.model.transformer import GeometryTransformer
from geolrm.export.model.volume import VolumeRefinement, unfold_queries


class Proposal(NamedTuple):
    """Occupancy, and what the anchors read beside it where the model has cues."""

    logits: Tensor  # [G, G, G], x slowest
    volume: Tensor | None = None  # [1, C, G, G, G] features, the logits last
    coarse_logits: Tensor | None = None  # [G, G, G] before refinement knew occlusion


class ProposalNetwork(nn.Module):
    """Queries of a coarse grid, all of its voxels, to the logits of the fine one."""

    anchors: Tensor  # [Q, 3], the centres of the coarse voxels
    rope_index: Tensor  # [Q, 3]
    centres: Tensor  # [G^3, 3], of the fine voxels

    def __init__(
        self, config: ProposalConfig, encoder: EncoderConfig, cue_config: CueConfig | None = None
    ):
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(encoder)
        self.transformer = GeometryTransformer(
            config.transformer, encoder.feature_dim, encoder.num_levels
        )
        self.refined = cue_config is not None and cue_config.volume_channels > 0
        if cue_config is not None and self.refined:
            self.refinement = VolumeRefinement(config, encoder.feature_dim, cue_config)
        else:
            self.upsample = nn.Linear(config.transformer.dim, config.token_res**3)
        side = config.queries_per_axis
        anchors = voxel_centres(side).reshape(-1, 3)
        index = rope_indices(anchors, config.grid_size, config.xyz_scale)
        self.register_buffer("anchors", torch.from_numpy(anchors), persistent=False)
        self.register_buffer("rope_index", torch.from_numpy(index), persistent=False)
        if self.refined:
            centres = voxel_centres(config.grid_size).reshape(-1, 3)
            self.register_buffer("centres", torch.from_numpy(centres), persistent=False)

    def forward(
        self,
        features: Tensor,
        projection: Tensor,
        level_shapes: LevelShapes,
        foreground: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Proposal:
        """Propose occupancy.

        Args:
            features: [V, L, C] of this stage's encoder.
            projection: [V, 3, 4] object frame to normalised image.
            level_shapes: (H, W) of each feature level.
            foreground: [V, 4, S, S] premultiplied RGBA, read by models with cues.
            valid: [V, S, S], 0 where nothing is known, read by models with cues; None: it is 1.

        Returns:
            Logits; a voxel is proposed where its logit is positive.
        """
        reference = project(self.anchors, projection)
        if valid is not None:
            known = cues.known_points(valid, reference)
            reference = cues.away_from_unknown(reference, known)
        latents = self.transformer(self.anchors, self.rope_index, features, level_shapes, reference)
        bias = self.config.occupancy_bias
        if not self.refined:
            return Proposal(unfold_queries(self.upsample(latents), self.config)[0, 0] + bias)
        centres = project(self.centres, projection)
        height, width = level_shapes[-1]
        level = features[:, -height * width :].unflatten(1, (height, width))
        refined = self.refinement(
            latents, level, foreground, projection, self.centres, centres, valid
        )
        return Proposal(refined.logits + bias, refined.features, refined.coarse_logits)
