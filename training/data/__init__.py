"""What geolrm is trained on: posed pictures of objects, read from disk or rendered from meshes."""
