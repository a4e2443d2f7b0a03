"""The files of one result: splats, a page, a thumbnail; and figures of it."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.scene import Scene
from geolrm.engine.views.sheets import input_images, to_bytes
from geolrm.fleet.destination import CAPTURES, Destination
from geolrm.viewer import Exhibit, write_page

STATUS = Path("/proc/self/status")
THUMBNAIL_SIDE = 192  # px
THUMBNAIL_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, relative to the output, and how well it explains the images."""

    splats: str
    page: str | None
    thumbnail: str
    psnr: float | None  # dB; None: there are no Gaussians, or the images are met exactly


def write_result(
    destination: Destination,
    name: str,
    scene: Scene,
    view_names: Sequence[str],
    *,
    suffix: str,
    file_options: Mapping[str, Any],
    world: NDArray[np.float64] | None,
    page: bool,
    threads: int,
) -> Written:
    """Write the files of a result, each whole.

    Args:
        destination: Where to.
        name: The capture's id.
        scene: What was reconstructed.
        view_names: [V], of the views that the model saw.
        suffix: Of the splat file.
        file_options: Of :meth:`Gaussians.save`.
        world: [4, 4] from the object frame to that of the splat file; None: the same.
        page: Write the viewer, too.
        threads: Of the rasterizer.

    Raises:
        InputError: A file cannot be written.
    """
    written = scene.gaussians if world is None else scene.gaussians.transformed(world)
    splats = f"{CAPTURES}/{name}{suffix}"
    destination.put(splats, partial(written.save, **file_options))
    rendered = scene.render(threads=threads) if scene.gpu is None else scene.render()
    thumbnail = f"{CAPTURES}/{name}.webp"
    destination.put_bytes(thumbnail, make_thumbnail(np.asarray(rendered.rgb)[0]))
    html = None
    if page:
        html = f"{CAPTURES}/{name}.html"
        exhibit = Exhibit.from_scene(scene, name, list(view_names))
        destination.put(html, lambda path: write_page(exhibit, path))
    quality = psnr(np.asarray(rendered.rgb), input_images(scene.views))
    return Written(splats, html, thumbnail, quality if len(scene.gaussians) else None)


def psnr(rendered: NDArray[np.floating], images: NDArray[np.uint8]) -> float | None:
    """Return the mean over the views of the PSNR in dB; None where it is infinite.

    Args:
        rendered: [V, S, S, 3] in [0, 1], on white.
        images: [V, S, S, 3], on white: what the model saw.
    """
    errors = np.mean((rendered.astype(np.float64) - images / 255) ** 2, axis=(1, 2, 3))
    if not (errors > 0).all():
        return None
    value = float(np.mean(-10 * np.log10(errors)))
    return round(value, 3) if math.isfinite(value) else None


def make_thumbnail(image: NDArray[np.floating]) -> bytes:
    """Encode an image [H, W, 3] in [0, 1] as a small WebP."""
    from PIL import Image

    small = Image.fromarray(to_bytes(image))
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=THUMBNAIL_QUALITY)
    return file.getvalue()


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has had, in MB; None where no one tells."""
    try:  # what `resource` says here begins with the peak of the process that started this one
        lines = STATUS.read_text(encoding="utf-8", errors="replace").splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        return round(peak * 1.024 / 1e3, 1)
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3 / 1.024), 1)
