"""The pictures of docs/photographs.md, rendered from the sample shoe.

python docs/photograph_pictures.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from geolrm import Cameras
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.photographs.intake import sharpness
from geolrm.examples import load_or_reconstruct

IMAGES = Path(__file__).parent / "images"
RINGS = ((-12.0, 24, "from below"), (15.0, 30, "level"), (48.0, 24, "from above"))
GROUND, INK = (238, 236, 232), (40, 40, 40)
COLOURS = ((200, 90, 40), (40, 110, 170), (60, 140, 70))
FONT = ImageFont.load_default(17)


def photograph(gaussians, cameras, size=(300, 225)):
    """Return renders on an even ground, as images of Pillow."""
    renders = gaussians.render(cameras, size)
    ground = np.array(GROUND) / 255
    pictures = renders.rgb - (1 - renders.alpha[..., None]) * (1 - ground)
    return [Image.fromarray((np.clip(each, 0, 1) * 255).astype(np.uint8)) for each in pictures]


def wide(cameras, size):
    """Give square cameras the shape of a photograph: as wide, and less high."""
    intrinsics = cameras.intrinsics.copy()
    intrinsics[:, 1, 1] *= size[0] / size[1]
    return Cameras(cameras.c2w, intrinsics)


def rings(gaussians):
    """Draw where to stand: three rings, each camera a dot with a line of sight."""
    width, height = 900, 520
    size = (width, height)
    camera = wide(Cameras.orbit(np.array([35.0]), 18.0, radius=7.0, fov=44.0), size)
    (picture,) = photograph(gaussians, camera, size)
    draw = ImageDraw.Draw(picture)
    w2c = np.linalg.inv(camera.c2w[0] @ FLIP_YZ)

    def place(point):
        u, v, w = camera.intrinsics[0] @ (w2c[:3, :3] @ point + w2c[:3, 3])
        return u / w * width, v / w * height, w

    marks = []
    for (elevation, count, _), colour in zip(RINGS, COLOURS, strict=True):
        stands = Cameras.orbit(360 / count * np.arange(count), elevation, radius=1.75, fov=40.0)
        for centre in stands.c2w[:, :3, 3]:
            marks.append((*place(centre), place(0.82 * centre), colour))
    for u, v, w, (a, b, _), colour in sorted(marks, key=lambda mark: -mark[2]):
        radius = 44 / w
        draw.line((u, v, a, b), fill=colour, width=2)
        draw.ellipse((u - radius, v - radius, u + radius, v + radius), fill=colour)
    for row, ((_, count, title), colour) in enumerate(zip(RINGS, COLOURS, strict=True)):
        top = 18 + 26 * row
        draw.ellipse((18, top + 4, 30, top + 16), fill=colour)
        draw.text((40, top), f"{title}: {count} photographs", fill=INK, font=FONT)
    picture.save(IMAGES / "photographs_rings.png", optimize=True)


def mistakes(gaussians):
    """Show what goes wrong, beside a good photograph."""

    def taken(azimuth, radius=1.55, fov=39.6, elevation=20.0):
        view = Cameras.orbit(np.array([azimuth]), elevation, radius=radius, fov=fov)
        return photograph(gaussians, wide(view, (300, 225)))[0]

    good, next_one = taken(30.0), taken(42.0)
    blurred = good.filter(ImageFilter.GaussianBlur(3))
    panels = (
        (good, "good"),
        (next_one, "good: 12 degrees on"),
        (taken(110.0), "too far: 80 degrees on"),
        (blurred, f"blurred: sharpness {sharpness(blurred.convert('L')):.2f}"),
        (taken(30.0, radius=4.5), "too small"),
        (taken(30.0, fov=21.0), "cut off"),
    )
    sheet = Image.new("RGB", (3 * 310 - 10, 2 * 260 - 6), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (picture, title) in enumerate(panels):
        left, top = 310 * (number % 3), 260 * (number // 3)
        sheet.paste(picture, (left, top))
        draw.text((left + 4, top + 228), title, fill=INK, font=FONT)
    sheet.save(IMAGES / "photographs_mistakes.png", optimize=True)


if __name__ == "__main__":
    shoe = load_or_reconstruct(None)
    rings(shoe)
    mistakes(shoe)
