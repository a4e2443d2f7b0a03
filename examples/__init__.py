"""Small numbered examples, and real captures to run them on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geolrm import Gaussians

CAPTURES = Path(__file__).parent / "captures"


def capture_path(name: str) -> Path:
    """Return the folder of a bundled capture: ``shoe``, ``banana`` or ``lion``."""
    return CAPTURES / name


def load_or_reconstruct(path: Path | None) -> Gaussians:
    """Load the splats of a file, or without one reconstruct the bundled shoe quickly."""
    from geolrm import Engine, Gaussians, load_capture

    if path is not None:
        return Gaussians.load(path)
    capture = load_capture(capture_path("shoe"))
    capture = capture.subset(capture.cameras.spread(6))
    scene = Engine("mini").run(capture.images, capture.cameras, max_tokens=1024, refine_steps=0)
    return scene.gaussians
