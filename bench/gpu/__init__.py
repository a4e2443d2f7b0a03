"""What can only be proved and measured on a GPU: ``python -m geolrm.bench.gpu -o DIR``."""
