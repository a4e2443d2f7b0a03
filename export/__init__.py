"""geolrm.export."""
