"""An image of a capture: its cameras, the object cube, what the masks leave, every image."""

import colorsys
import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.diagnostics.diagnosis import Diagnosis
from geolrm.engine.captures.sheet import PALE, Sheet
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.system.shown_text import shown
from geolrm.engine.views.alpha import composite_on_white
from geolrm.engine.views.sheets import to_bytes

WIDTH, GAP, HEADER, LINE = 1600, 16, 64, 20  # px
MAIN = (1040, 720)  # px, width and height of the view in perspective
SIDE = (WIDTH - 3 * GAP - MAIN[0], (MAIN[1] - GAP) // 2)  # px, each projection
MOST_IMAGES = 64
INK, GREY, RED = (34, 38, 46), (120, 126, 138), (214, 40, 40)
AXES = (("x", (205, 60, 50)), ("y", (60, 150, 70)), ("z", (55, 100, 205)))
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
EDGES = [(a, b) for a in range(8) for b in range(a) if (CORNERS[a] != CORNERS[b]).sum() == 1]
MOST_POINTS = 12_000


class Projection:
    """The object frame on one panel: in perspective, or parallel along an axis."""

    def __init__(self, axes: NDArray, middle: tuple[float, float], scale: float, distance: float):
        self.axes = axes  # [3, 3] rows right, up, towards the eye
        self.middle, self.scale = middle, scale  # px; px per unit at the origin
        self.distance = distance  # from the origin to the eye; infinity: parallel

    def __call__(self, points: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project points [N, 3] to pixels [N, 2], and tell how near the eye each is [N]."""
        x, y, near = self.axes @ np.asarray(points, np.float64).reshape(-1, 3).T
        shrink = 1.0
        if np.isfinite(self.distance):
            shrink = self.distance / np.maximum(self.distance - near, 0.05 * self.distance)
        pixels = np.stack([x * shrink, -y * shrink], axis=1) * self.scale + self.middle
        return pixels, near


def draw_overview(capture: Capture, diagnosis: Diagnosis) -> NDArray[np.uint8]:
    """Draw cube and cameras from three sides, and below the numbered images: uint8 [H, W, 3].

    Views that a diagnostic names are red.
    """
    from PIL import Image

    cell, columns, chosen = _thumbnail_grid(len(capture))
    rows = -(-len(chosen) // columns)
    lines = [
        line for each in diagnosis.diagnostics for line in textwrap.wrap(shown(f"- {each}"), 195)
    ]
    header = HEADER + LINE * len(lines)
    height = header + MAIN[1] + 2 * GAP + rows * (cell + GAP)
    sheet = Sheet(WIDTH, height)
    doubtful = diagnosis.doubtful_views
    sheet.text((GAP, 10), shown(str(capture.path.name or capture.path))[-60:], 24, INK)
    sheet.text((GAP, 38), f"{capture.found}; {diagnosis.count}", 16, RED if lines else GREY)
    for number, line in enumerate(lines):
        sheet.text((GAP, HEADER - 4 + LINE * number), line, 15, INK)

    points, colors = _object_points(capture, diagnosis)
    positions = capture.cameras.c2w[:, :3, 3]
    reach = float(np.clip(np.quantile(np.linalg.norm(positions, axis=1), 0.9), 0.9, 1e4))
    top = header
    backward, right = _viewpoint()
    axes = np.stack([right, np.cross(backward, right), backward])
    panels = [
        ((GAP, top), MAIN, axes, 4.5 * reach, "", 2.35),
        ((2 * GAP + MAIN[0], top), SIDE, np.eye(3), np.inf, "from above: x right, y up", 2.6),
        (
            (2 * GAP + MAIN[0], top + SIDE[1] + GAP),
            SIDE,
            np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
            np.inf,
            "from the side: x right, z up",
            2.6,
        ),
    ]
    for corner, size, rotation, distance, title, room in panels:
        sheet.panel(corner, size)
        middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
        scale = min(size) / (room * reach)
        project = Projection(rotation, middle, scale, distance)
        with sheet.clipped(corner, size):
            _draw_scene(sheet, project, capture.cameras, doubtful, points, colors, reach)
            sheet.text((corner[0] + 12, corner[1] + 8), title, 15, GREY)

    top += MAIN[1] + GAP
    for place, index in enumerate(chosen):
        x = GAP + place % columns * (cell + GAP)
        y = top + place // columns * (cell + GAP)
        image = capture.images[index]
        if image.shape[2] == 4:  # without alpha it would be warned of; the diagnostics say it
            image = to_bytes(composite_on_white(image, index))
        thumbnail = Image.fromarray(image)
        color = RED if index in doubtful else _color(index, len(capture))
        sheet.image((x, y), cell, thumbnail, color, str(index))
    return sheet.finish()


def _viewpoint() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pose = Cameras.orbit(-62.0, 24.0, 1.0, 50.0).c2w[0]
    return pose[:3, 2], pose[:3, 0]


def _thumbnail_grid(count: int) -> tuple[int, int, list[int]]:
    """Choose the side of a thumbnail in pixels, how many stand in a row, and which are shown."""
    shown = sorted({int(i) for i in np.linspace(0, count - 1, min(count, MOST_IMAGES))})
    columns = 8 if len(shown) <= 16 else 12 if len(shown) <= 36 else 16
    return (WIDTH - GAP) // columns - GAP, columns, shown


def _color(index: int, count: int) -> tuple[int, int, int]:
    """Colour views from blue by green to yellow in their order; red is left for doubtful ones."""
    hue = 0.62 - 0.48 * index / max(count - 1, 1)
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.78)
    return round(red * 255), round(green * 255), round(blue * 255)


def _object_points(
    capture: Capture, diagnosis: Diagnosis
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Choose points [N, 3] that stand for the object, and their colours [N, 3]."""
    if diagnosis.surface is None:
        points = np.empty((0, 3)) if capture.points is None else capture.points
        points = points[np.abs(points).max(axis=1, initial=0) < 1.5]
        points = points[:: max(len(points) // MOST_POINTS, 1)]
        return points, np.full((len(points), 3), 130, np.uint8)
    points = diagnosis.surface
    points = points[:: -(-len(points) // MOST_POINTS)]
    return points, _colors_of(points, capture)


def _colors_of(points: NDArray[np.float64], capture: Capture) -> NDArray[np.uint8]:
    """Take each point's pixel in the view that looks at its side of the object."""
    cameras = capture.cameras
    outward = points - points.mean(axis=0)
    best = (outward @ cameras.c2w[:, :3, 2].T).argmax(axis=1)
    colors = np.full((len(points), 3), 130, np.uint8)
    w2c = cameras.world_to_camera
    for view in np.unique(best):
        mine = np.flatnonzero(best == view)
        image, rows = capture.images[view], w2c[view, :3]
        place = (points[mine] @ rows[:, :3].T + rows[:, 3]) @ cameras.intrinsics[view].T
        ahead = place[:, 2] > 1e-6
        where = place[:, :2] / np.maximum(place[:, 2:], 1e-6) * (image.shape[1], image.shape[0])
        column, row = np.floor(where.clip(-1, 1e6)).astype(np.int64).T
        inside = ahead & (column >= 0) & (row >= 0)
        inside &= (column < image.shape[1]) & (row < image.shape[0])
        colors[mine[inside]] = image[row[inside], column[inside], :3]
    return colors


def _draw_scene(
    sheet: Sheet,
    project: Projection,
    cameras: Cameras,
    doubtful: set[int],
    points: NDArray[np.float64],
    colors: NDArray[np.uint8],
    reach: float,
) -> None:
    """Draw from far to near: ground, cameras behind, object and cube, cameras in front."""
    if np.isfinite(project.distance):
        _draw_ground(sheet, project, reach)
    near = project(cameras.c2w[:, :3, 3])[1]
    length = 0.13 * reach
    order = np.argsort(near)
    for index in order[near[order] < 0]:
        _draw_camera(sheet, project, cameras, int(index), doubtful, length)
    lines = []
    for a, b in EDGES:
        pair, depth = project(CORNERS[[a, b]])
        lines.append((float(depth.mean()), pair))
    lines.sort(key=lambda line: line[0])
    for depth, pair in lines:
        if depth < 0:
            sheet.line(pair, INK, 1.5)
    pixels, depth = project(points)
    radius = max(0.62 * project.scale * _spacing(points), 0.8)
    for index in np.argsort(depth):
        sheet.dot(pixels[index], radius, tuple(int(c) for c in colors[index]))
    for depth, pair in lines:
        if depth >= 0:
            sheet.line(pair, INK, 1.5)
    for (name, color), axis in zip(AXES, np.eye(3), strict=True):
        ends, _ = project([[0, 0, 0], 0.85 * axis])
        if np.linalg.norm(ends[1] - ends[0]) < 5:  # it points at the eye
            continue
        sheet.line(ends, color, 3)
        sheet.text(tuple(ends[1] + (4, -10)), name, 18, color)
    for index in order[near[order] >= 0]:
        _draw_camera(sheet, project, cameras, int(index), doubtful, length)


def _spacing(points: NDArray[np.float64]) -> float:
    """Measure the step of the grid that points lie on, along x; 0 where there is none."""
    if len(points) < 2:
        return 0.0
    values = np.unique(np.round(points[:, 0], 6))
    return float(np.diff(values).min()) if len(values) > 1 else 0.0


def _draw_ground(sheet: Sheet, project: Projection, reach: float) -> None:
    """Draw a grid at the cube's bottom, of the cube's side where that is not too fine."""
    side = max(1.0, float(np.ceil(reach / 6)))
    count = int(np.ceil(1.2 * reach / side))
    for i in range(-count, count + 1):
        for a, b in (((i, -count), (i, count)), ((-count, i), (count, i))):
            ends = [(a[0] * side, a[1] * side, -0.5), (b[0] * side, b[1] * side, -0.5)]
            sheet.line(project(ends)[0], PALE, 1)


def _draw_camera(
    sheet: Sheet,
    project: Projection,
    cameras: Cameras,
    index: int,
    doubtful: set[int],
    length: float,
) -> None:
    """Draw a frustum in its place; the mark over the image's upper border says which way is up."""
    pose, intrinsics = cameras.c2w[index], cameras.intrinsics[index]
    corners = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [0.4, 0, 1], [0.6, 0, 1]])
    rays = np.linalg.solve(intrinsics, corners.T).T * [1, -1, -1]
    rays *= length / max(1.0, float(np.abs(rays[:, :2]).max()))  # wide ones are made shorter
    tip = rays[4:].mean(axis=0)
    tip[1] += 0.14 * length
    world = np.vstack([[0, 0, 0], rays, tip]) @ pose[:3, :3].T + pose[:3, 3]
    pixels, _ = project(world)
    apex, frame, left, right, up = pixels[0], pixels[1:5], pixels[5], pixels[6], pixels[7]
    bad = index in doubtful
    color = RED if bad else _color(index, len(cameras))
    width = 2.5 if bad else 1.5
    for corner in frame:
        sheet.line([apex, corner], color, width)
    sheet.line([*frame, frame[0]], color, width)
    sheet.polygon([left, up, right], color)
    sheet.dot(apex, 3, color)
    outward = apex - frame.mean(axis=0)
    outward /= max(float(np.linalg.norm(outward)), 1e-9)
    sheet.label(tuple(apex + 13 * outward), str(index), 14, color)
