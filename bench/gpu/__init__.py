"""Proofs and measurements that need a GPU: ``python -m geolrm.bench.gpu -o DIR``."""
