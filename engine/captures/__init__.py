"""Captures on disk: posed images of one object, whatever wrote them."""

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.recognition import (
    load_capture,
    load_complete_capture,
    load_every_view,
    read_capture,
)

__all__ = ["Capture", "load_capture", "load_complete_capture", "load_every_view", "read_capture"]
