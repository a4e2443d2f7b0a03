"""The picture of docs/other-programs.md: the same shoe, and where each program's axes point.

python docs/axes_picture.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geolrm import Cameras
from geolrm.examples import load_or_reconstruct

SIDE, FOV = 300, 36.0
# Of each axis, where it points in the object frame: x right, y away from who sees its front, z up.
RIGHT, BACK, UP = np.eye(3)
PROGRAMS = (
    ("geolrm, Blender", (RIGHT, BACK, UP)),
    ("glTF, USD, three.js", (RIGHT, UP, -BACK)),
    ("Unity, scale (1, 1, -1)", (RIGHT, UP, BACK)),
    ("Unreal, scale (1, -1, 1)", (RIGHT, -BACK, UP)),
)
COLOURS = ((200, 60, 50), (60, 140, 60), (40, 90, 190))  # of x, y and z, in all of them
INK, FONT = (40, 40, 40), ImageFont.load_default(17)


def main() -> None:
    """Write docs/images/axes.png."""
    camera = Cameras.orbit([-62.0], [22.0], 2.2, FOV)
    picture = load_or_reconstruct(None).render(camera, (SIDE, SIDE))
    pixels = picture.rgb[0] + 0.0
    shoe = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    sheet = Image.new("RGB", (SIDE * len(PROGRAMS), SIDE + 34), "white")
    draw = ImageDraw.Draw(sheet)
    to_camera = np.linalg.inv(camera.c2w[0])
    for index, (name, axes) in enumerate(PROGRAMS):
        left = index * SIDE
        sheet.paste(shoe, (left, 34))
        draw.text((left + SIDE // 2, 18), name, INK, FONT, anchor="mm")

        def place(point, left=left):
            x, y, z, _ = to_camera @ np.append(point, 1)
            fx = camera.intrinsics[0, 0, 0] * SIDE
            return left + SIDE / 2 - fx * x / z, 34 + SIDE / 2 + fx * y / z

        for axis, colour, label in zip(axes, COLOURS, "xyz", strict=True):
            draw.line([place(np.zeros(3)), place(0.55 * axis)], colour, 3)
            draw.text(place(0.62 * axis), label, colour, FONT, anchor="mm")
    sheet.save(Path(__file__).parent / "images" / "axes.png")


if __name__ == "__main__":
    main()
