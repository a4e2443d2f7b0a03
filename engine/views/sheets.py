"""Sheets of images, and the PNG files that hold them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.system.atomic import atomic_file
from geolrm.engine.views.preprocessing import Views


def contact_sheet(rows: list[NDArray[np.uint8]], gap: int = 4) -> NDArray[np.uint8]:
    """Lay out rows of [V, S, S, 3] images, V alike, on one white sheet [H, W, 3]."""
    count, size = rows[0].shape[0], rows[0].shape[1]
    step = size + gap
    sheet = np.full((len(rows) * step + gap, count * step + gap, 3), 255, np.uint8)
    for r, images in enumerate(rows):
        for c, image in enumerate(images):
            top, left = gap + r * step, gap + c * step
            sheet[top : top + size, left : left + size] = image
    return sheet


def input_images(views: Views) -> NDArray[np.uint8]:
    """Return the images that the model saw, [V, S, S, 3] uint8."""
    return to_bytes(views.images.transpose(0, 2, 3, 1))


def to_bytes(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round colours in [0, 1] to the nearest of 256 values."""
    return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def save_image(image: NDArray[np.uint8], path: str | Path) -> None:
    """Write an image [H, W, 3|4] as PNG, whole or not at all."""
    from PIL import Image

    with atomic_file(path) as file:
        Image.fromarray(image).save(file, format="PNG")
