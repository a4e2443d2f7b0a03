"""Splat files: PLY, SPZ, .splat and GLB, in and out, through NumPy."""
