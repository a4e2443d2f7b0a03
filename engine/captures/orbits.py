"""What image generators make, whose cameras are known: SV3D clips and Zero123++ sheets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.file_search import check_inside
from geolrm.engine.captures.images import ImageReader, check_square
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import (
    ORBIT_RADIUS,
    SV3D_ELEVATION,
    SV3D_FOV,
    SV3D_FRAMES,
    ZERO123PLUS_ELEVATIONS,
    ZERO123PLUS_FOV,
    Cameras,
)

TILE = 320  # px, of a Zero123++ sheet
SHEETS = {(2 * TILE, 3 * TILE): (3, 2), (3 * TILE, 2 * TILE): (2, 3)}  # (width, height): layout


def sv3d_capture(path: Path, names: Sequence[str], images: Sequence[NDArray[np.uint8]]) -> Capture:
    """Pair 21 frames with their cameras: azimuth i * 360 / 21, elevation 10 degrees, radius 1.5."""
    if len(images) != SV3D_FRAMES:
        raise InputError(
            f"{str(path)!r} has {len(images)} frames; an SV3D orbit has {SV3D_FRAMES}: cut it to "
            "those, or give the poses of the frames in transforms.json or poses.npy"
        )
    for name, image in zip(names, images, strict=True):
        check_square(image, f"{name} of {str(path)!r}", "frames of SV3D")
    note = (
        f"cameras of SV3D are assumed: elevation {SV3D_ELEVATION:g}, radius {ORBIT_RADIUS:g}, "
        f"field of view {SV3D_FOV:g} degrees"
    )
    cameras = Cameras.from_orbit("sv3d")
    return Capture(path, list(names), list(images), cameras, kind="sv3d", notes=(note,))


def read_frames(folder: Path, files: Sequence[Path], *, allow_outside: bool = False) -> Capture:
    """Read an SV3D clip from image files, one a frame."""
    check_inside(files, folder, allow_outside)
    reader = ImageReader()
    images = [reader.read(file, str(folder)) for file in files]
    return sv3d_capture(folder, [file.name for file in files], images)


def read_sheet(file: Path) -> Capture:
    """Read six tiles of 320 px, row by row: 3 rows of 2 as Zero123++ writes them, or 2 of 3."""
    sheet = ImageReader(longest_side=None).read(file, "Zero123++ sheet")
    height, width = sheet.shape[:2]
    layout = SHEETS.get((width, height))
    if layout is None:
        raise InputError(
            f"{str(file)!r} has {width} x {height} pixels; a single image can only be a Zero123++ "
            f"sheet, {2 * TILE} x {3 * TILE} (3 rows of 2 tiles) or {3 * TILE} x {2 * TILE}: "
            "resize it, or give a folder of images with their poses"
        )
    rows, columns = layout
    tiles = sheet.reshape(rows, TILE, columns, TILE, -1).swapaxes(1, 2).reshape(6, TILE, TILE, -1)
    up, down = ZERO123PLUS_ELEVATIONS
    notes = (
        f"the sheet is read row by row, {rows} rows of {columns}",
        f"cameras of Zero123++ are assumed: azimuths 30 to 330, elevations {up:g} and {down:g}, "
        f"radius {ORBIT_RADIUS:g}, field of view {ZERO123PLUS_FOV:g} degrees",
    )
    return Capture(
        file,
        [f"tile {index}" for index in range(6)],
        [np.ascontiguousarray(tile) for tile in tiles],
        Cameras.from_orbit("zero123plus"),
        kind="zero123plus",
        notes=notes,
    )
