"""geolrm.examples."""
