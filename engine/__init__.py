"""geolrm.engine."""
