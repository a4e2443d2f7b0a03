"""Pictures of a reconstruction."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.system.atomic import atomic_file
from geolrm.engine.views.preprocessing import Views


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
    return to_bytes(views.images.transpose(0, 2, 3, 1))


def to_bytes(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours in [0, 1] to the nearest of 256 values."""
    return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def save_picture(picture: NDArray[np.uint8], path: str | Path) -> None:
    """Write a PNG, whole or not at all."""
    from PIL import Image

    with atomic_file(path) as file:
        Image.fromarray(picture).save(file, format="PNG")
