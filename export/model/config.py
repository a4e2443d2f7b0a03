"""Hyper-parameters of GeoLRM as frozen dataclasses.

Every default is the behaviour of the released model; a switch that departs from it is named.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from geolrm.export.model.checks import require, require_numbers

SelfAttention = Literal["token", "head"]


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Hierarchical image encoder: DINOv2 features upsampled once, beside a ray-aware convolution.

    Paper section 3.2. ``rays``: ``raw`` un-normalised directions as released, ``unit`` normalised
    directions, ``none`` without Pluecker rays. ``position_grid`` is the side of the stored
    position-embedding grid in patches.
    """

    patch_size: int = 14
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_ratio: int = 4
    position_grid: int = 37
    feature_dim: int = 384
    low_level_stride: int = 4
    batch_norm: bool = True
    rays: Literal["raw", "unit", "none"] = "raw"
    use_low_level: bool = True
    use_high_level: bool = True

    def __post_init__(self) -> None:
        require_numbers(self, zero=("num_layers",))
        require(
            self.hidden_size % self.num_heads == 0,
            f"encoder hidden_size {self.hidden_size} must be a multiple of num_heads "
            f"{self.num_heads}",
        )
        require(
            self.use_low_level or self.use_high_level,
            "the encoder needs use_low_level or use_high_level; both are off",
        )

    @property
    def num_levels(self) -> int:
        """Number of feature levels that the deformable cross-attention samples."""
        return int(self.use_low_level) + int(self.use_high_level)

    def level_shapes(self, image_size: int) -> tuple[tuple[int, int], ...]:
        """Return (H, W) of each level for square images, the low level first."""
        low = image_size // self.low_level_stride
        high = 2 * (image_size // self.patch_size)
        sides = [low] * self.use_low_level + [high] * self.use_high_level
        return tuple((side, side) for side in sides)


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Geometry-aware transformer (paper section 3.3).

    ``self_attention``: ``token`` attends over all queries with 3D RoPE (the paper); ``head`` is
    what the released fp32 program computes, a softmax over the heads of each query.
    ``cross_attention_residual``: ``normalised`` adds the cross-attention to its own normalised
    input as released, ``stream`` to the residual stream as in the paper.
    ``num_points`` 0 samples each level once at the projected anchor (an ablation of the paper).
    """

    dim: int
    num_layers: int
    num_heads: int = 16
    num_points: int = 8
    self_attention: SelfAttention = "head"
    use_rope: bool = True
    cross_attention_residual: Literal["normalised", "stream"] = "normalised"
    rope_base: float = 10000.0
    ffn_multiple_of: int = 256
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require_numbers(self, zero=("num_layers", "num_points", "dropout"))
        require(self.dropout < 1, f"dropout is {self.dropout!r}; it must be below 1")
        require(
            self.dim % self.num_heads == 0,
            f"transformer dim {self.dim} must be a multiple of num_heads {self.num_heads}",
        )
        require(
            not self.use_rope or self.self_attention == "head" or self.head_dim % 6 == 0,
            f"head_dim {self.head_dim} must be a multiple of 6 for 3D RoPE",
        )
        require(
            self.self_attention in ("token", "head"),
            f"self_attention is {self.self_attention!r}; it must be 'token' or 'head'",
        )

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.num_heads

    @property
    def ffn_dim(self) -> int:
        """Hidden width of the SwiGLU feed-forward: two thirds of 4 d, rounded up."""
        wide = int(2 * 4 * self.dim / 3)
        return self.ffn_multiple_of * -(-wide // self.ffn_multiple_of)

    @property
    def samples_per_level(self) -> int:
        """Samples that a head takes on one level; without offsets one, at the projected query."""
        return max(self.num_points, 1)


@dataclass(frozen=True, slots=True)
class ProposalConfig:
    """Proposal transformer: a query for each coarse voxel, to occupancy logits (stage 1).

    A coarse voxel is ``token_res`` voxels along each side, ``grid_size`` of which span the cube.
    ``occupancy_bias`` is added to the finished logits: above 0, more voxels are proposed.
    """

    transformer: TransformerConfig
    grid_size: int = 128
    token_res: int = 8
    xyz_scale: float = 0.5
    max_seq_len: int = 8192
    occupancy_bias: float = 0.0

    def __post_init__(self) -> None:
        require_numbers(self, signed=("occupancy_bias",))
        require(
            math.isfinite(self.occupancy_bias),
            f"occupancy_bias is {self.occupancy_bias!r}; it must be a finite number",
        )
        require(
            self.grid_size % self.token_res == 0,
            f"grid_size {self.grid_size} must be a multiple of token_res {self.token_res}",
        )

    @property
    def queries_per_axis(self) -> int:
        """Queries, one a coarse voxel, along one axis."""
        return self.grid_size // self.token_res


@dataclass(frozen=True, slots=True)
class ReconstructionConfig:
    """Reconstruction transformer and Gaussian decoder (stage 2).

    Offsets are ``anchor + sigmoid * offset_max`` as released (one-sided); ``centred_offsets``
    shifts them by half their width. ``xyz_scale`` scales positions to RoPE indices: the released
    inference scripts leave it at 1.0, training used 0.5.
    """

    transformer: TransformerConfig
    grid_size: int = 128
    xyz_scale: float = 1.0
    gaussians_per_anchor: int = 32
    use_sh: bool = False
    centred_offsets: bool = False
    offset_max: float = 0.2
    scale_max: float = 0.02

    def __post_init__(self) -> None:
        require_numbers(self)

    @property
    def channels_per_gaussian(self) -> int:
        """Offset 3, opacity 1, scale 3, quaternion 4, then RGB 3 or SH of degree 2 (9 x 3)."""
        return 11 + (27 if self.use_sh else 3)


@dataclass(frozen=True, slots=True)
class CueConfig:
    """Geometric cues from masks, pixels and occlusion; the released model has none of them.

    ``volume_channels`` is the width of the 3D convolutions that refine the proposal per voxel and
    hand their features to the anchors; 0 leaves them out. ``statistics`` feeds them alpha and
    colour statistics over views. ``occlusion`` adds a second pass that knows which views see a
    voxel. ``pixel_colors`` blends input pixels at the projected Gaussian with the decoded colour.
    ``alpha_gate`` multiplies opacity by the smallest alpha over views.
    """

    statistics: bool = True
    volume_channels: int = 24
    occlusion: bool = True
    pixel_colors: bool = True
    alpha_gate: bool = True

    def __post_init__(self) -> None:
        require(
            self.volume_channels >= 0 and self.volume_channels % 8 == 0,
            f"volume_channels {self.volume_channels} must be a multiple of 8",
        )
        require(
            not self.occlusion or (self.volume_channels > 0 and self.statistics),
            "occlusion needs statistics and volume_channels above 0; switch it off",
        )


@dataclass(frozen=True, slots=True)
class SplatUpdateConfig:
    """A network of the learned refinement, which the released model has not.

    ``width`` channels of a splat are hidden, ``shared`` of them told to its neighbourhood, and
    ``cell_channels`` carried from cell to cell by convolutions (0: there are none); it takes
    ``steps`` steps, each over ``views`` input views at most.
    """

    width: int = 64
    shared: int = 16
    steps: int = 6
    views: int = 8
    cell_channels: int = 0

    def __post_init__(self) -> None:
        given = self.cell_channels
        require(0 <= given <= 4096, f"cell_channels is {given}; it must be from 0 to 4096")
        for name, most in (("width", 4096), ("shared", 4096), ("steps", 64), ("views", 1024)):
            value = getattr(self, name)
            require(1 <= value <= most, f"{name} is {value}; it must be from 1 to {most}")


@dataclass(frozen=True, slots=True)
class GeoLRMConfig:
    """The whole model; ``shared_encoder`` lets both stages read one set of image features."""

    proposal: ProposalConfig
    reconstruction: ReconstructionConfig
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    shared_encoder: bool = False
    cues: CueConfig | None = None
    image_size: int = 448
    fov_degrees: float = 50.0
    update: SplatUpdateConfig | None = None  # takes the refinement's first steps
    closing: SplatUpdateConfig | None = None  # takes its last, after the descent

    def __post_init__(self) -> None:
        require(
            0 < self.fov_degrees < 180,
            f"fov_degrees is {self.fov_degrees!r}; it must be an angle above 0 and below 180",
        )
        require(
            self.image_size > 0 and self.image_size % self.encoder.patch_size == 0,
            f"image_size {self.image_size} must be a positive multiple of the patch size "
            f"{self.encoder.patch_size}",
        )
        proposal, reconstruction = self.proposal.transformer, self.reconstruction.transformer
        require(
            not (self.cues and self.cues.pixel_colors and self.reconstruction.use_sh),
            "pixel_colors gives RGB, but use_sh asks for harmonics; switch one of them off",
        )
        for name in ("update", "closing"):
            require(
                not (getattr(self, name) and self.reconstruction.use_sh),
                f"{name} changes RGB, but use_sh asks for harmonics; switch one of them off",
            )
        require(
            proposal.self_attention == reconstruction.self_attention,
            "both transformers must use the same self_attention; they have "
            f"{proposal.self_attention!r} and {reconstruction.self_attention!r}",
        )

    @property
    def self_attention(self) -> SelfAttention:
        """The self-attention variant of both transformers."""
        return self.reconstruction.transformer.self_attention

    @property
    def padded_tokens(self) -> int | None:
        """Number that anchors are zero-padded to: fixed for ``head``, None for ``token``."""
        return self.proposal.max_seq_len if self.self_attention == "head" else None

    def with_self_attention(
        self, self_attention: str, rope_scale: float | None = None
    ) -> "GeoLRMConfig":
        """Return the configuration that runs the same weights with another self-attention.

        Args:
            self_attention: ``token`` or ``head``, of both transformers.
            rope_scale: ``xyz_scale`` of the reconstruction; None keeps it.

        Raises:
            InputError: There is no such variant.
        """
        variant = cast(SelfAttention, self_attention)  # TransformerConfig checks it
        scale = self.reconstruction.xyz_scale if rope_scale is None else rope_scale
        return replace(
            self,
            proposal=replace(
                self.proposal,
                transformer=replace(self.proposal.transformer, self_attention=variant),
            ),
            reconstruction=replace(
                self.reconstruction,
                transformer=replace(self.reconstruction.transformer, self_attention=variant),
                xyz_scale=scale,
            ),
        )
