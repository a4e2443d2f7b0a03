"""geolrm.bench."""
