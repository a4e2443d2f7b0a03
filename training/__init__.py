"""geolrm.training."""
