"""GObjaverse: rendered objects as folders of PNG, JSON and EXR files, one folder a view.

The depth of the EXR files is read where it is needed, in `geolrm.training.data.gobjaverse`.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.file_search import check_inside
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras

# 24 around from above, 12 around on a level, top, bottom; views 24 and 39 repeat others.
DISTINCT_VIEWS = (*range(24), *range(27, 39), 25, 26)
LEVEL = "campos_512_v4"  # the original download has this folder between object and views
MAX_SIDE = 4096  # px
MAX_JSON_BYTES = 1 << 20


def view_stem(folder: Path, view: int) -> Path:
    """Return the path of a view's files without their suffixes: ``FOLDER/00003/00003``."""
    return folder / f"{view:05d}" / f"{view:05d}"


def object_folder(folder: Path) -> Path:
    """Find the folder that holds the views: this one, or the download's extra level in it."""
    nested = folder / LEVEL
    return nested if nested.is_dir() else folder


def holds_object(folder: Path) -> bool:
    """Tell whether a folder holds views of a GObjaverse object."""
    return any(True for _ in _views_of(object_folder(folder)))


def _views_of(folder: Path) -> Iterator[int]:
    for view in DISTINCT_VIEWS:
        if view_stem(folder, view).with_suffix(".json").is_file():
            yield view


def read_object(folder: Path, *, allow_outside: bool = False) -> Capture:
    """Read the distinct views that are there; depth is not read."""
    inner = object_folder(folder)
    views = list(_views_of(inner))
    stems = [view_stem(inner, view) for view in views]
    check_inside([stem.with_suffix(s) for stem in stems for s in (".json", ".png")], folder,
                 allow_outside)  # fmt: skip
    images, cameras = read_views(inner, views)
    names = [view_stem(inner, view).with_suffix(".png").relative_to(folder) for view in views]
    left = len(DISTINCT_VIEWS) - len(views)
    notes = (f"{left} of the {len(DISTINCT_VIEWS)} distinct views are not there",) if left else ()
    return Capture(
        folder,
        [name.as_posix() for name in names],
        images,
        cameras,
        kind="gobjaverse",
        source=inner,
        notes=notes,
    )


def read_views(folder: Path, views: Sequence[int]) -> tuple[list[NDArray[np.uint8]], Cameras]:
    """Read views by their numbers: images [S, S, 4], all of one size, and their cameras.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
    """
    images: list[NDArray[np.uint8]] = []
    poses, intrinsics = [], []
    for view in views:
        stem = view_stem(folder, view)
        pose, focal = _read_camera(stem.with_suffix(".json"))
        poses.append(pose)
        intrinsics.append([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])
        images.append(_read_rgba(stem.with_suffix(".png"), images))
    try:
        return images, Cameras(np.stack(poses), np.array(intrinsics))
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def _read_camera(path: Path) -> tuple[NDArray[np.float64], float]:
    """Read an OpenGL pose [4, 4], and the focal length divided by the image width."""
    if not path.is_file():
        raise InputError(f"{str(path)!r} is missing; restore it or leave its view out")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"{str(path)!r} is larger than {MAX_JSON_BYTES} bytes; it is no camera")
    try:
        content = json.loads(path.read_bytes())
        columns = [np.array(content[key], dtype=np.float64) for key in ("x", "y", "z", "origin")]
        field = float(content["x_fov"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise InputError(
            f"{str(path)!r} is no camera of GObjaverse ({type(error).__name__}: "
            f"{str(error)[:200]}); it needs x, y, z, origin (3 numbers each) and x_fov (radians)"
        ) from error
    if any(column.shape != (3,) for column in columns):
        raise InputError(f"{str(path)!r}: x, y, z and origin must be lists of 3 numbers")
    if not 0.017 < field < math.pi:
        raise InputError(f"{str(path)!r}: x_fov is {field:g}; it must be in radians, 0.017 to pi")
    pose = np.eye(4)
    pose[:3] = np.stack(columns, axis=1)
    return pose @ FLIP_YZ, 0.5 / math.tan(field / 2)


def _read_rgba(path: Path, others: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Read an image [S, S, 4] with straight alpha, which must have the size of the others."""
    from PIL import Image

    if not path.is_file():
        raise InputError(f"{str(path)!r} is missing; restore it or leave its view out")
    try:
        with Image.open(path, formats=("PNG",)) as image:
            size = others[0].shape[0] if others else min(image.width, MAX_SIDE)
            if image.size != (size, size) or image.mode != "RGBA":
                raise InputError(
                    f"{str(path)!r} is {image.mode} with {image.width} x {image.height} px; it "
                    f"must be RGBA, 8 bit, {size} x {size}"
                )
            return np.asarray(image)
    except (
        OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        if isinstance(error, InputError):
            raise
        why = str(error)[:200] or "memory does not suffice"
        raise InputError(f"{str(path)!r} cannot be decoded: {why}; restore it") from error
