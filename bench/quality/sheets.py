"""Contact sheets: what went in, what came out, what is true, and where they differ."""

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.evaluation import Shown
from geolrm.bench.quality.image_metrics import pooled_psnr
from geolrm.bench.quality.judging import Images
from geolrm.engine.system.shown_text import shown as printable
from geolrm.engine.views.sheets import contact_sheet, to_bytes

TILE = 128  # pixels
WORST = 5  # objects on the sheet of the worst
LABEL, LETTERS = 20, 14  # pixels: of the strip with an object's name, and of its letters
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
        """Return a sheet for each number of views, the worst object on top, each under its name."""
        return {
            views: np.concatenate([part for _, name, sheet in kept for part in _named(name, sheet)])
            for views, kept in self._kept.items()
        }


def _named(name: str, sheet: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a white strip with a name, of the sheet's width, and the sheet."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (sheet.shape[1], LABEL), "white")
    draw = ImageDraw.Draw(strip)
    draw.text((4, 1), printable(name), "black", ImageFont.load_default(LETTERS))
    return np.asarray(strip), sheet


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
