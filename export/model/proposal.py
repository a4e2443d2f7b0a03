"""Proposal network: features to occupancy logits (stage 1, paper section 3.3)."""

import torch
from torch import Tensor, nn

from geolrm.engine.voxel_grid import rope_indices, voxel_centres
from geolrm.export.model.config import EncoderConfig, ProposalConfig
from geolrm.export.model.cross_attention import LevelShapes
from geolrm.export.model.encoder import ImageEncoder
from geolrm.export.model.geometry import project
from geolrm.export.model.transformer import GeometryTransformer


class ProposalNetwork(nn.Module):
    """Dense anchors of a coarse grid to the logits of the fine one."""

    def __init__(self, config: ProposalConfig, encoder: EncoderConfig):
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(encoder)
        self.transformer = GeometryTransformer(
            config.transformer, encoder.feature_dim, encoder.num_levels
        )
        self.upsample = nn.Linear(config.transformer.dim, config.token_res**3)
        side = config.tokens_per_axis
        anchors = voxel_centres(side).reshape(-1, 3)
        index = rope_indices(anchors, config.grid_size, config.xyz_scale)
        self.register_buffer("anchors", torch.from_numpy(anchors), persistent=False)
        self.register_buffer("rope_index", torch.from_numpy(index), persistent=False)

    def forward(self, features: Tensor, projection: Tensor, level_shapes: LevelShapes) -> Tensor:
        """Occupancy logits.

        Args:
            features: [V, L, C] of this stage's encoder.
            projection: [V, 3, 4] world to normalised image.
            level_shapes: (H, W) of each feature level.

        Returns:
            [G, G, G], x slowest; a voxel is proposed where its logit is positive.
        """
        reference = project(self.anchors, projection)
        latents = self.transformer(self.anchors, self.rope_index, features, level_shapes, reference)
        side, res = self.config.tokens_per_axis, self.config.token_res
        logits = self.upsample(latents).view(side, side, side, res, res, res)
        return logits.permute(0, 3, 1, 4, 2, 5).reshape([side * res] * 3)
