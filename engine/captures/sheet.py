"""A white page to draw on, through Pillow, with smooth edges."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 2  # Pillow draws hard edges: the page is made larger
PALE, PAPER = (226, 229, 234), (249, 250, 252)


class Sheet:
    """A page that is drawn on in its own pixels, although Pillow draws it larger."""

    def __init__(self, width: int, height: int):
        from PIL import Image, ImageDraw

        self.size = (width, height)
        self.page = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), "white")
        self.draw = ImageDraw.Draw(self.page)

    def finish(self) -> NDArray[np.uint8]:
        """Return the page as uint8 [H, W, 3], at its own size."""
        from PIL import Image

        return np.asarray(self.page.resize(self.size, Image.Resampling.BOX))

    def clipped(self, corner: Sequence[float], size: Sequence[float]) -> "_Clip":
        """Return a context in which nothing outside a panel changes."""
        return _Clip(self, corner, size)

    def panel(self, corner: Sequence[float], size: Sequence[float]) -> None:
        """Draw a pale rectangle with round corners."""
        box = _scaled([*corner, corner[0] + size[0], corner[1] + size[1]])
        self.draw.rounded_rectangle(box, 16, fill=PAPER, outline=PALE, width=2)

    def line(self, points: Any, color: Any, width: float) -> None:
        """Draw a line through points [N, 2], ``width`` px wide."""
        flat = _scaled(np.asarray(points).ravel().clip(-1e5, 1e5))
        self.draw.line(flat, fill=color, width=round(width * OVERSAMPLING), joint="curve")

    def polygon(self, points: Any, color: Any) -> None:
        """Fill a polygon of corners [N, 2]."""
        self.draw.polygon(_scaled(np.asarray(points).ravel().clip(-1e5, 1e5)), fill=color)

    def dot(self, point: Any, radius: float, color: Any) -> None:
        """Fill a disc of ``radius`` px; far outside the page nothing is drawn."""
        x, y = point
        if -100 < x < 1e4 and -100 < y < 1e4:
            box = _scaled([x - radius, y - radius, x + radius, y + radius])
            self.draw.ellipse(box, fill=color)

    def text(self, place: Any, text: str, size: int, color: Any, anchor: str = "la") -> None:
        """Write text ``size`` px high; ``anchor`` is Pillow's."""
        x, y = _scaled(place)
        # The font that Pillow carries lacks some letters of paths.
        plain = text.encode("latin-1", "replace").decode("latin-1")
        self.draw.text((x, y), plain, fill=color, font=_font(size), anchor=anchor)

    def label(self, place: Any, text: str, size: int, color: Any) -> None:
        """Write a word around a place, on a halo of paper."""
        x, y = _scaled(place)
        self.draw.text(
            (x, y), text, fill=color, font=_font(size), anchor="mm",
            stroke_width=2 * OVERSAMPLING, stroke_fill=PAPER,
        )  # fmt: skip

    def image(self, corner: Any, side: int, image: Any, color: Any, name: str) -> None:
        """Put a Pillow image, shrunk in place, into a square frame with its name in the corner."""
        image.thumbnail((side * OVERSAMPLING, side * OVERSAMPLING))
        x, y = (int(value) for value in _scaled(corner))
        full = side * OVERSAMPLING
        self.page.paste(image, (x + (full - image.width) // 2, y + (full - image.height) // 2))
        self.draw.rectangle((x, y, x + full, y + full), outline=color, width=2 * OVERSAMPLING)
        width = (9 * len(name) + 8) * OVERSAMPLING
        self.draw.rectangle((x, y, x + width, y + 20 * OVERSAMPLING), fill=color)
        middle = (corner[0] + width / OVERSAMPLING / 2, corner[1] + 10)
        self.text(middle, name, 14, "white", "mm")


class _Clip:
    """A context that leaves the sheet outside a panel as it was."""

    def __init__(self, sheet: Sheet, corner: Sequence[float], size: Sequence[float]):
        self.sheet = sheet
        box = (corner[0] + 1, corner[1] + 1, corner[0] + size[0] - 1, corner[1] + size[1] - 1)
        self.box: Any = tuple(round(value) for value in _scaled(box))
        self.before = sheet.page.copy()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        inside = self.sheet.page.crop(self.box)
        self.sheet.page.paste(self.before)
        self.sheet.page.paste(inside, self.box[:2])


def _scaled(values: Any) -> list[float]:
    return [float(value) * OVERSAMPLING for value in values]


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size * OVERSAMPLING)
