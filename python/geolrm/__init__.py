"""geolrm: an exportable, real-time inference engine for GeoLRM.

Example::

    engine = Engine("mini")
    scene = engine.run(images, poses)
    scene.gaussians.save("object.ply")
"""

from geolrm.engine.cameras import Cameras
from geolrm.engine.captures import Capture, load_capture
from geolrm.engine.engine import Engine
from geolrm.engine.errors import (
    BundleError,
    CheckpointError,
    GeoLRMError,
    InputError,
    VerificationError,
)
from geolrm.engine.gaussians import Gaussians
from geolrm.engine.live import LiveCapture
from geolrm.engine.rendering import Renders, render
from geolrm.engine.scene import Scene

__all__ = [
    "BundleError",
    "Cameras",
    "Capture",
    "CheckpointError",
    "Engine",
    "Gaussians",
    "GeoLRMError",
    "InputError",
    "LiveCapture",
    "Renders",
    "Scene",
    "VerificationError",
    "load_capture",
    "render",
]
