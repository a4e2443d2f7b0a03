"""Splats to triangle meshes."""
