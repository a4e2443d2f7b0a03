"""Gaussians to images, on the CPU or on a GPU."""
