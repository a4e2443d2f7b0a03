"""The GeoLRM model in torch, with the released checkpoint's parameter names."""

from geolrm.export.model.config import (
    CueConfig,
    EncoderConfig,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    SplatUpdateConfig,
    TransformerConfig,
    mini,
    released,
)
from geolrm.export.model.geolrm import GeoLRM

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
