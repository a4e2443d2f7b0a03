"""The two configurations that have names: the published model, and the small default."""

from dataclasses import replace

from geolrm.export.model.config import (
    CueConfig,
    EncoderConfig,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    SelfAttention,
    TransformerConfig,
)


def released(self_attention: SelfAttention = "head") -> GeoLRMConfig:
    """Return the published configuration: 334.6 M parameters, 448 px, 128^3 voxels."""
    return GeoLRMConfig(
        proposal=ProposalConfig(
            TransformerConfig(dim=384, num_layers=6, self_attention=self_attention)
        ),
        reconstruction=ReconstructionConfig(
            TransformerConfig(dim=768, num_layers=16, self_attention=self_attention)
        ),
    )


def mini() -> GeoLRMConfig:
    """Return the small default model: one shared encoder, 224 px, 32^3 voxels, token attention."""
    block = TransformerConfig(
        dim=192,
        num_layers=3,
        num_heads=4,
        num_points=4,
        self_attention="token",
        cross_attention_residual="stream",
    )
    return GeoLRMConfig(
        encoder=EncoderConfig(
            hidden_size=192,
            num_layers=4,
            num_heads=3,
            position_grid=16,
            feature_dim=128,
            batch_norm=False,
            rays="unit",
        ),
        proposal=ProposalConfig(block, grid_size=32, token_res=4, max_seq_len=6144),
        reconstruction=ReconstructionConfig(
            replace(block, num_layers=2),
            grid_size=32,
            xyz_scale=0.5,
            gaussians_per_anchor=16,
            centred_offsets=True,
            offset_max=1 / 32,
            scale_max=0.02,
        ),
        shared_encoder=True,
        cues=CueConfig(),
        image_size=224,
        fov_degrees=50.0,
    )
