"""Reconstructions over HTTP: one application, in one process or on a Ray cluster."""
