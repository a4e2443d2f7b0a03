"""geolrm: an exportable, real-time inference engine for GeoLRM."""
