"""Models with random weights that export and run in seconds, and bundles of them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch

from geolrm.engine.bundle.manifest import Range, Source
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from geolrm.export.model import (
    EncoderConfig,
    GeoLRM,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    TransformerConfig,
)


def tiny_config(variant: str = "token", **encoder) -> GeoLRMConfig:
    block = TransformerConfig(24, 2, num_heads=2, num_points=2, self_attention=variant)
    return GeoLRMConfig(
        encoder=EncoderConfig(
            hidden_size=24, num_layers=1, num_heads=2, position_grid=5, feature_dim=12, **encoder
        ),
        proposal=ProposalConfig(block, grid_size=8, token_res=4, max_seq_len=64),
        reconstruction=ReconstructionConfig(block, grid_size=8, gaussians_per_anchor=4),
        image_size=56,
    )


def one_layer(config: GeoLRMConfig) -> GeoLRMConfig:
    """For what does not depend on the number of layers: it is traced in half the time."""
    parts = {name: getattr(config, name) for name in ("proposal", "reconstruction")}
    shallow = {
        name: replace(part, transformer=replace(part.transformer, num_layers=1))
        for name, part in parts.items()
    }
    return replace(config, **shallow)


def tiny_model(config: GeoLRMConfig, seed: int = 0) -> GeoLRM:
    """Random weights that leave nothing at a symmetric value, batch statistics included."""
    torch.manual_seed(seed)
    model = GeoLRM(config).eval().requires_grad_(False)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.add_(torch.randn_like(tensor) * 0.1)
    return model


def hash_of_weights(model: GeoLRM) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_tiny(model: GeoLRM, folder: Path, precision: str = "fp32") -> Path:
    options = ExportOptions(precision, Range(1, 3, 21), Range(1, 64, 512))
    source = Source("random", "", trained=False)
    write_bundle(model, folder, name="tiny", source=source, options=options)
    return folder
