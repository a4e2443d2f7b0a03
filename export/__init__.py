"""Export of GeoLRM: torch model, ONNX graphs, lowering per backend, verification.

This package and ``geolrm.training`` are the only places that import torch.
"""
