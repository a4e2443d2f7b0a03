"""The GeoLRM model in torch, with the released checkpoint's parameter names."""

from geolrm.export.model.config import (
    CueConfig,
    EncoderConfig,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    SplatUpdateConfig,
    TransformerConfig,
)
from geolrm.export.model.geolrm import GeoLRM
from geolrm.export.model.presets import mini, released

__all__ = [
    "CueConfig",
    "EncoderConfig",
    "GeoLRM",
    "GeoLRMConfig",
    "ProposalConfig",
    "ReconstructionConfig",
    "SplatUpdateConfig",
    "TransformerConfig",
    "mini",
    "released",
]
