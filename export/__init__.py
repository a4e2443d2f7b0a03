"""Export of GeoLRM: torch model, ONNX graphs, lowering per backend, verification.

torch is imported here, in ``geolrm.training``, and by the benchmarks that compare with it.
"""
