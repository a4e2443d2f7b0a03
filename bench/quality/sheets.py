"""Contact sheets: what went in, what came out, what is true, and where they differ."""

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.evaluation import Shown
from geolrm.bench.quality.image_metrics import pooled_psnr
from geolrm.bench.quality.judging import Images
from geolrm.engine.views.sheets import contact_sheet, to_bytes

TILE = 128  # pixels
WORST = 5  # objects on the sheet of the worst
ERROR_GAIN = 3  # a mean difference of a third is black


def make_sheet(shown: Shown) -> NDArray[np.uint8]:
    """Make four rows: inputs; for every target prediction, truth and error (white: none)."""
    errors = [
        np.repeat(1 - ERROR_GAIN * np.abs(rendered - true).mean(axis=-1, keepdims=True), 3, axis=-1)
        for rendered, true in zip(shown.predictions, shown.truths, strict=True)
    ]
    rows = [shown.inputs, shown.predictions, shown.truths, errors]
    columns = max(len(row) for row in rows)
    return contact_sheet([_tiles(row, columns) for row in rows])


class Worst:
    """Collects the sheets of the objects with the largest error, for each number of views."""

    def __init__(self, count: int = WORST):
        self.count = count
        self._kept: dict[int, list[tuple[float, str, NDArray[np.uint8]]]] = {}

    def add(self, shown: Shown, sheet: NDArray[np.uint8]) -> None:
        """Consider an object and its sheet."""
        score = pooled_psnr(shown.predictions, shown.truths)
        kept = self._kept.setdefault(shown.views, [])
        kept.append((score, shown.name, sheet))
        kept.sort(key=lambda entry: entry[:2])
        del kept[self.count :]

    def sheets(self) -> dict[int, NDArray[np.uint8]]:
        """Return a sheet for each number of views, the worst object on top."""
        return {
            views: np.concatenate([sheet for _, _, sheet in kept])
            for views, kept in self._kept.items()
        }


def _tiles(images: Images, columns: int) -> NDArray[np.uint8]:
    """Put images in the middle of white squares, and fill up with white: [columns, S, S, 3]."""
    from PIL import Image

    tiles = np.full((columns, TILE, TILE, 3), 255, np.uint8)
    for tile, image in zip(tiles, images, strict=False):
        small = Image.fromarray(to_bytes(image))
        small.thumbnail((TILE, TILE))
        top, left = (TILE - small.height) // 2, (TILE - small.width) // 2
        tile[top : top + small.height, left : left + small.width] = np.asarray(small)
    return tiles
