"""A recorded run of the released model: its configuration, weights, inputs and arrays."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.voxel_grid import voxel_axis
from geolrm.export.checkpoint import load_state
from geolrm.export.model import (
    EncoderConfig,
    GeoLRM,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    TransformerConfig,
)
from geolrm.export.model.config import SelfAttention

VARIANTS: dict[str, tuple[SelfAttention, float]] = {  # and xyz_scale of the reconstruction
    "head": ("head", 1.0),
    "token.scale1": ("token", 1.0),
    "token.scale05": ("token", 0.5),
}
GAUSSIAN_ARRAYS = {
    "means": "gs_xyz",
    "opacities": "gs_opacity",
    "scales": "gs_scale",
    "quats": "gs_rotation",
    "colors": "gs_rgb",
}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A recorded run of the released model."""

    path: Path
    config: dict[str, Any]
    arrays: dict[str, NDArray]
    weights: dict[str, Tensor]

    @staticmethod
    def load(path: Path) -> "Case":
        """Read a case folder."""
        from safetensors.torch import load_file

        for name in ("config.json", "io.npz", "weights.safetensors"):
            if not (path / name).is_file():
                raise InputError(f"{str(path)!r} is no conformance case: it lacks {name}")
        with np.load(path / "io.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        return Case(path, config, arrays, load_file(path / "weights.safetensors"))

    def model_config(self, variant: str) -> GeoLRMConfig:
        """Return the case's hyper-parameters as a configuration."""
        attention, scale = VARIANTS[variant]
        proposal, generator = self.config["serializer"], self.config["lrm_generator"]
        dino = self.config["dino"]

        def transformer(fields: dict[str, Any]) -> TransformerConfig:
            return TransformerConfig(
                dim=fields["transformer_dim"],
                num_layers=fields["transformer_layers"],
                num_heads=fields["transformer_heads"],
                num_points=fields["num_deform_points"],
                self_attention=attention,
                rope_base=self.config.get("rope_base", 10000),
                ffn_multiple_of=self.config.get("ffn_multiple_of", 256),
            )

        hidden = self.weights["serializer.encoder.model.encoder.layer.0.mlp.fc1.weight"].shape[0]
        return GeoLRMConfig(
            encoder=EncoderConfig(
                patch_size=dino["patch_size"],
                hidden_size=dino["hidden_size"],
                num_layers=dino["num_hidden_layers"],
                num_heads=dino["num_attention_heads"],
                mlp_ratio=hidden // dino["hidden_size"],
                position_grid=dino["image_size"] // dino["patch_size"],
                feature_dim=proposal["encoder_feat_dim"],
            ),
            proposal=ProposalConfig(
                transformer(proposal),
                grid_size=proposal["grid_size"],
                token_res=proposal["token_res"],
                xyz_scale=self.config.get("xyz_scale_serializer", 0.5),
                max_seq_len=proposal["max_seq_len"],
            ),
            reconstruction=ReconstructionConfig(
                transformer(generator),
                grid_size=generator["grid_size"],
                xyz_scale=scale,
                gaussians_per_anchor=generator["gs_per_token"],
                use_sh=generator["use_sh"],
                offset_max=generator["offset_max"],
                scale_max=generator["scale_max"],
            ),
            image_size=self.config["image_size"],
        )

    def model(self, variant: str) -> GeoLRM:
        """Build the torch model with the case's weights."""
        model = GeoLRM(self.model_config(variant)).eval().requires_grad_(False)
        load_state(model, self.weights, str(self.path))
        return model


def scenes(case: Case) -> Iterator[tuple[int, NDArray, NDArray, NDArray]]:
    """Yield (scene, images [V, 3, S, S], c2w [V, 4, 4], intrinsics [V, 3, 3]) of a batch."""
    for index, images in enumerate(case.arrays["images"]):
        yield index, images, case.arrays["c2ws"][index], case.arrays["Ks"][index]


def recorded_name(case: Case, field: str, array: NDArray | Tensor) -> str:
    """Name the record of a Gaussian array; spherical harmonics may have one of their own."""
    if field == "colors" and array.ndim == 3 and any(n.endswith(".gs_sh") for n in case.arrays):
        return "gs_sh"
    return GAUSSIAN_ARRAYS[field]


def select_recorded(
    case: Case, logits: NDArray, scene: int, limit: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Select anchors by the recorded permutation, as released.

    Returns:
        Flat indices of the occupied voxels; anchors [limit, 3], zero behind the last; which of
        them are set [limit].
    """
    flat = np.flatnonzero(logits.reshape(-1) > 0)
    size = logits.shape[0]
    chosen = flat
    if len(flat) >= limit:
        permutation = case.arrays[f"sel.perm.{scene}"]
        if len(permutation) == len(flat):  # else the logits already failed
            chosen = flat[permutation[:limit]]
    xyz = np.zeros((limit, 3), np.float32)
    chosen = chosen[:limit]
    xyz[: len(chosen)] = voxel_axis(size)[np.stack(np.unravel_index(chosen, (size,) * 3), axis=-1)]
    return flat, xyz, np.arange(limit) < len(chosen)
