"""GObjaverse: rendered objects as folders of PNG, JSON and EXR files, one folder a view."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.atomic import existing_path
from geolrm.engine.cameras import FLIP_YZ, Cameras
from geolrm.engine.errors import InputError
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.views import points_of_depth

# 24 around from above, 12 around on a level, top, bottom; 24 and 39 repeat others.
DISTINCT_VIEWS = (*range(24), *range(27, 39), 25, 26)
BOUNDING_RADIUS = 0.867  # of the unit cube
POINTS = 20_000  # back-projected from the depth
MAX_SIDE = 4096  # px
MAX_JSON_BYTES = 1 << 20


def load_gobjaverse(path: str | Path, views: Sequence[int] = DISTINCT_VIEWS) -> PosedObject:
    """Read one object: a folder of ``00000/00000.{png,json}``, ``00000/00000_nd.exr`` and so on.

    The level ``campos_512_v4`` of the original download may stand in between. Depth is cleaned as
    GeoLRM does: what is nearer than the cube's bounding sphere, which background is, and its
    neighbours count as nothing.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
    """
    path = existing_path(path)
    nested = path / "campos_512_v4"
    path = nested if nested.is_dir() else path
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is no folder; give the folder of one GObjaverse object")
    stems = [path / f"{view:05d}" / f"{view:05d}" for view in views]
    if not stems:
        raise InputError("no views were asked for; give at least one index")
    poses, intrinsics, images, planes = [], [], [], []
    for stem in stems:
        pose, focal = _read_camera(stem.with_suffix(".json"))
        poses.append(pose)
        intrinsics.append([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])
        images.append(_read_rgba(stem.with_suffix(".png"), images))
        size = images[0].shape[0]
        raw = read_depth(stem.with_name(f"{stem.name}_nd.exr"), size)
        planes.append(clean_depth(raw, float(np.linalg.norm(pose[:3, 3]))))
    try:
        cameras = Cameras(np.stack(poses), np.array(intrinsics))
        cameras.check_facing()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    depth = np.stack(planes)
    points = points_of_depth(depth, cameras, POINTS, str(path))
    return PosedObject(np.stack(images), depth, cameras, points)


def clean_depth(depth: NDArray[np.float32], distance: float) -> NDArray[np.float32]:
    """Depth [S, S] from a camera ``distance`` away from the origin, 0 where it cannot be right.

    That is nearer or farther than the cube's bounding sphere, or next to such a pixel.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(depth - distance) <= BOUNDING_RADIUS)  # NaN is wrong, too
    wide = np.pad(wrong, 1)
    height, width = wrong.shape
    near = [wide[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.where(np.logical_or.reduce(near), np.float32(0), depth)


def read_depth(path: Path, size: int) -> NDArray[np.float32]:
    """[S, S] z-depth: channel A of an EXR file, whose R, G, B are normals; not cleaned."""
    import OpenEXR

    if not path.is_file():
        raise InputError(f"{str(path)!r} is missing; restore it or leave its view out")
    try:
        header = OpenEXR.File(str(path), header_only=True).header()
        low, high = (np.asarray(corner) for corner in header["dataWindow"])
        if (high - low + 1).tolist() != [size, size]:
            raise InputError(
                f"{str(path)!r} has {' x '.join(map(str, high - low + 1))} px, its image {size} x "
                f"{size}; they must agree"
            )
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
        depth = channels["A"].pixels if "A" in channels else None
    except InputError:
        raise
    except Exception as error:  # the library raises RuntimeError, OSError and others alike
        raise InputError(f"{str(path)!r} is no EXR file that can be read: {error}") from error
    if depth is None or depth.shape != (size, size):
        raise InputError(
            f"{str(path)!r} has channels {', '.join(sorted(channels))}; depth must be in A"
        )
    return depth.astype(np.float32)


def _read_camera(path: Path) -> tuple[NDArray[np.float64], float]:
    """[4, 4] OpenGL camera-to-world, and the focal length divided by the image width."""
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
            f"{str(path)!r} is no camera of GObjaverse ({type(error).__name__}: {error}); it needs "
            "x, y, z, origin (3 numbers each) and x_fov (radians)"
        ) from error
    if any(column.shape != (3,) for column in columns):
        raise InputError(f"{str(path)!r}: x, y, z and origin must be lists of 3 numbers")
    if not 0.017 < field < math.pi:
        raise InputError(f"{str(path)!r}: x_fov is {field:g}; it must be in radians, 0.017 to pi")
    pose = np.eye(4)
    pose[:3] = np.stack(columns, axis=1)
    return pose @ FLIP_YZ, 0.5 / math.tan(field / 2)


def _read_rgba(path: Path, others: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """[S, S, 4], straight alpha, of the size of the others."""
    from PIL import Image

    if not path.is_file():
        raise InputError(f"{str(path)!r} is missing; restore it or leave its view out")
    try:
        with Image.open(path) as image:
            size = others[0].shape[0] if others else min(image.width, MAX_SIDE)
            if image.size != (size, size) or image.mode != "RGBA":
                raise InputError(
                    f"{str(path)!r} is {image.mode} with {image.width} x {image.height} px; it "
                    f"must be RGBA, 8 bit, {size} x {size}"
                )
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} cannot be decoded: {error}; restore it") from error
