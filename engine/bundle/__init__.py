"""The bundle folder: its manifest, and how it is opened."""
