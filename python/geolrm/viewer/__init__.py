"""One HTML file that shows splats in any browser, without a network; see docs/viewer.md."""

from geolrm.viewer.exhibit import Exhibit, InputViews
from geolrm.viewer.framing import UP_AXES, Up
from geolrm.viewer.page import write_page
from geolrm.viewer.saved_scene import (
    check_scene_name,
    is_scene_name,
    load_scene,
    save_scene,
)

__all__ = [
    "UP_AXES",
    "Exhibit",
    "InputViews",
    "Up",
    "check_scene_name",
    "is_scene_name",
    "load_scene",
    "save_scene",
    "write_page",
]
