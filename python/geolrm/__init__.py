"""geolrm: an exportable, real-time inference engine for GeoLRM.

Example::

    engine = Engine("mini")
    scene = engine.run(images, poses)
    scene.gaussians.save("object.ply")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geolrm.engine.captures import Capture, load_capture
    from geolrm.engine.engine import Engine
    from geolrm.engine.errors import (
        BundleError,
        CheckpointError,
        GeoLRMError,
        InputError,
        VerificationError,
    )
    from geolrm.engine.gaussians.gaussians import Gaussians
    from geolrm.engine.geometry.cameras import Cameras
    from geolrm.engine.live import LiveCapture
    from geolrm.engine.rendering.images import Renders
    from geolrm.engine.rendering.render import render
    from geolrm.engine.scene import Scene

_MODULES = {
    "Cameras": "geometry.cameras",
    "Capture": "captures",
    "load_capture": "captures",
    "Engine": "engine",
    "BundleError": "errors",
    "CheckpointError": "errors",
    "GeoLRMError": "errors",
    "InputError": "errors",
    "VerificationError": "errors",
    "Gaussians": "gaussians.gaussians",
    "LiveCapture": "live",
    "Renders": "rendering.images",
    "render": "rendering.render",
    "Scene": "scene",
}  # of geolrm.engine; imported at first use, so that commands start at once


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'geolrm' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"geolrm.engine.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
