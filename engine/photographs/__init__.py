"""Photographs without poses, and the capture that they become."""

from geolrm.engine.photographs.options import PhotographOptions
from geolrm.engine.photographs.pipeline import Progress, capture_photographs
from geolrm.engine.photographs.sources import is_photographs

__all__ = ["PhotographOptions", "Progress", "capture_photographs", "is_photographs"]
