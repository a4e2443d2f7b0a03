"""The whole model: images and cameras to occupancy, anchors and Gaussians, in torch."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from geolrm.engine.anchors import pad_anchors, select_anchors
from geolrm.engine.geometry.voxel_grid import rope_indices
from geolrm.export.model.config import GeoLRMConfig
from geolrm.export.model.cross_attention import LevelShapes
from geolrm.export.model.geometry import projection_matrices
from geolrm.export.model.proposal import Proposal, ProposalNetwork
from geolrm.export.model.reconstruction import DecodedGaussians, ReconstructionNetwork
from geolrm.export.model.splat_update import SplatUpdate


class Reconstruction(NamedTuple):
    """Results of one pass of the model."""

    logits: Tensor  # [G, G, G] occupancy
    anchors: Tensor  # [N, 3]
    gaussians: DecodedGaussians


class GeoLRM(nn.Module):
    """GeoLRM for one scene of V views; attribute names are those of the released checkpoint."""

    def __init__(self, config: GeoLRMConfig):
        super().__init__()
        self.config = config
        self.serializer = ProposalNetwork(config.proposal, config.encoder, config.cues)
        self.lrm_generator = ReconstructionNetwork(
            config.reconstruction, config.encoder, config.shared_encoder, config.cues
        )
        self.splat_update = None if config.update is None else SplatUpdate(config.update)
        self.splat_closing = None if config.closing is None else SplatUpdate(config.closing)

    @property
    def level_shapes(self) -> LevelShapes:
        """(H, W) of the feature levels at the configured image size."""
        return self.config.encoder.level_shapes(self.config.image_size)

    def encode(self, images: Tensor, c2w: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        """Encode views to features for the proposal and the reconstruction, each [V, L, C]."""
        proposal = self.serializer.encoder(images, c2w, intrinsics)
        if self.lrm_generator.encoder is None:
            return proposal, proposal
        return proposal, self.lrm_generator.encoder(images, c2w, intrinsics)

    def propose(
        self,
        features: Tensor,
        projection: Tensor,
        foreground: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Proposal:
        """Propose occupancy from [V, L, C] features; with cues also of what views show.

        That is the foreground [V, 4, S, S], and valid [V, S, S]: None is valid everywhere.
        """
        return self.serializer(features, projection, self.level_shapes, foreground, valid)

    def reconstruct(
        self,
        features: Tensor,
        projection: Tensor,
        anchors: Tensor,
        foreground: Tensor | None = None,
        volume: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> DecodedGaussians:
        """Reconstruct Gaussians from [V, L, C] features at [N, 3] anchors.

        ``foreground`` [V, 4, S, S], ``volume`` [1, C, G, G, G] and ``valid`` [V, S, S], None where
        that is everywhere, are read by models with cues.
        """
        config = self.config.reconstruction
        index = rope_indices(anchors.detach().cpu().numpy(), config.grid_size, config.xyz_scale)
        rope_index = torch.from_numpy(index).to(anchors.device)
        return self.lrm_generator(
            features,
            projection,
            anchors,
            rope_index,
            self.level_shapes,
            foreground,
            volume,
            valid,
        )

    def forward(
        self,
        images: Tensor,
        c2w: Tensor,
        intrinsics: Tensor,
        seed: int = 0,
        foreground: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Reconstruction:
        """Reconstruct one scene.

        Args:
            images: [V, 3, S, S] in [0, 1] on white, S the configured image size.
            c2w: [V, 4, 4] OpenGL camera-to-world.
            intrinsics: [V, 3, 3], divided by the image size.
            seed: Of the random subset, when more voxels are occupied than max_seq_len.
            foreground: [V, 4, S, S] premultiplied RGBA, needed by models with cues.
            valid: [V, S, S], 0 where nothing is known, read by models with cues; None: it is 1.
        """
        projection = projection_matrices(intrinsics, c2w)
        proposal_features, features = self.encode(images, c2w, intrinsics)
        logits, volume, _ = self.propose(proposal_features, projection, foreground, valid)
        limit = self.config.proposal.max_seq_len
        selected = select_anchors(logits.detach().cpu().numpy(), limit, seed=seed)
        anchors = pad_anchors(selected.positions, self.config.padded_tokens)
        anchors = torch.from_numpy(anchors).to(features.device)
        gaussians = self.reconstruct(features, projection, anchors, foreground, volume, valid)
        return Reconstruction(logits, anchors, gaussians)
