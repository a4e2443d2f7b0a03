"""What goes along to a machine with a GPU and without network: see ``geolrm.bench.gpu.pack``."""
