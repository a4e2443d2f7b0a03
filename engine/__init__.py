"""Run time of geolrm: images and cameras to Gaussians through exported graphs, without torch."""
