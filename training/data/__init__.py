"""Training data: posed images of objects, read from disk or rendered from meshes."""
