"""Tests mirror the tree: every module with logic has a test file of its own."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
MIRRORED = {
    "engine": "engine",
    "export": "export",
    "training": "training",
    "bench": "bench",
    "plugins": "plugins",
    "python/geolrm/commands": "commands",
    "python/geolrm/viewer": "viewer",
}
