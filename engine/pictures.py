"""Pictures of a reconstruction: what the model saw, and where the Gaussians project."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.atomic import atomic_file
from geolrm.engine.gaussians import Gaussians
from geolrm.engine.preprocessing import Views

SH_C0 = 0.28209479177387814


def draw_centres(gaussians: Gaussians, views: Views) -> NDArray[np.uint8]:
    """Gaussian centres as opaque points, nearest in front, on white.

    Returns:
        [V, S, S, 3] uint8, in the cameras of ``views``. It shows position and colour of the
        Gaussians, not their extent or opacity.
    """
    count, size = len(views), views.images.shape[-1]
    canvas = np.full((count, size, size, 3), 255, np.uint8)
    if gaussians.colors is not None:
        rgb = gaussians.colors
    else:
        assert gaussians.sh is not None
        rgb = gaussians.sh[:, 0] * SH_C0 + 0.5
    colors = np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)
    for view in range(count):
        matrix = views.projection[view].astype(np.float64)
        a, b, z = (gaussians.means @ matrix[:, :3].T + matrix[:, 3]).T
        front = np.flatnonzero(z < -1e-6)
        front = front[np.argsort(z[front], kind="stable")]  # far to near: near is drawn last
        x = np.floor((1 - a[front] / z[front]) * size)
        y = np.floor(b[front] / z[front] * size)
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        columns, rows = x[inside].astype(np.int64), y[inside].astype(np.int64)
        canvas[view, rows, columns] = colors[front[inside]]
    return canvas


def contact_sheet(rows: list[NDArray[np.uint8]], gap: int = 4) -> NDArray[np.uint8]:
    """Rows of equally many [V, S, S, 3] pictures on one white sheet."""
    count, size = rows[0].shape[0], rows[0].shape[1]
    step = size + gap
    sheet = np.full((len(rows) * step + gap, count * step + gap, 3), 255, np.uint8)
    for r, pictures in enumerate(rows):
        for c, picture in enumerate(pictures):
            top, left = gap + r * step, gap + c * step
            sheet[top : top + size, left : left + size] = picture
    return sheet


def input_pictures(views: Views) -> NDArray[np.uint8]:
    """The images that the model saw, [V, S, S, 3] uint8."""
    return np.rint(views.images.transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def save_picture(picture: NDArray[np.uint8], path: str | Path) -> None:
    """Write a PNG, whole or not at all."""
    from PIL import Image

    with atomic_file(path) as file:
        Image.fromarray(picture).save(file, format="PNG")
