"""The GeoLRM model in torch, with the released checkpoint's parameter names."""

from geolrm.export.model.config import (
    EncoderConfig,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    TransformerConfig,
    mini,
    released,
)
from geolrm.export.model.geolrm import GeoLRM

__all__ = [
    "EncoderConfig",
    "GeoLRM",
    "GeoLRMConfig",
    "ProposalConfig",
    "ReconstructionConfig",
    "TransformerConfig",
    "mini",
    "released",
]
