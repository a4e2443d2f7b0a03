"""Contact sheets: what went in, what came out, what is true, and where they differ."""

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.evaluation import Shown
from geolrm.bench.quality.judging import Pictures
from geolrm.engine.views.sheets import contact_sheet, to_bytes

TILE = 128  # pixels
ERROR_GAIN = 3  # a mean difference of a third is black


def make_sheet(shown: Shown) -> NDArray[np.uint8]:
    """Four rows: inputs; then, for every target, prediction, truth and error (white: none)."""
    errors = [
        np.repeat(1 - ERROR_GAIN * np.abs(drawn - true).mean(axis=-1, keepdims=True), 3, axis=-1)
        for drawn, true in zip(shown.predictions, shown.truths, strict=True)
    ]
    rows = [shown.inputs, shown.predictions, shown.truths, errors]
    columns = max(len(row) for row in rows)
    return contact_sheet([_tiles(row, columns) for row in rows])


def _tiles(pictures: Pictures, columns: int) -> NDArray[np.uint8]:
    """[columns, S, S, 3]: pictures in the middle of white squares, then white ones."""
    from PIL import Image

    tiles = np.full((columns, TILE, TILE, 3), 255, np.uint8)
    for tile, picture in zip(tiles, pictures, strict=False):
        image = Image.fromarray(to_bytes(picture))
        image.thumbnail((TILE, TILE))
        top, left = (TILE - image.height) // 2, (TILE - image.width) // 2
        tile[top : top + image.height, left : left + image.width] = np.asarray(image)
    return tiles
