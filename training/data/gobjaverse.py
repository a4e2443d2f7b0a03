"""GObjaverse with depth: what `geolrm.engine.captures.gobjaverse` reads, and the EXR files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.gobjaverse import (
    DISTINCT_VIEWS,
    object_folder,
    read_views,
    view_stem,
)
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import existing_path
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.views import points_of_depth

BOUNDING_RADIUS = 0.867  # of the unit cube
POINTS = 20_000  # back-projected from the depth


def load_gobjaverse(path: str | Path, views: Sequence[int] = DISTINCT_VIEWS) -> PosedObject:
    """Read one object: a folder of ``00000/00000.{png,json}``, ``00000/00000_nd.exr`` and so on.

    The level ``campos_512_v4`` of the original download may stand in between. Depth is cleaned as
    GeoLRM does: what is nearer than the cube's bounding sphere, which background is, and its
    neighbours count as nothing.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
    """
    path = object_folder(existing_path(path))
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is no folder; give the folder of one GObjaverse object")
    if not views:
        raise InputError("no views were asked for; give at least one index")
    images, cameras = read_views(path, views)
    try:
        cameras.check_facing()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    planes = []
    for view, c2w in zip(views, cameras.c2w, strict=True):
        stem = view_stem(path, view)
        raw = read_depth(stem.with_name(f"{stem.name}_nd.exr"), images[0].shape[0])
        planes.append(clean_depth(raw, float(np.linalg.norm(c2w[:3, 3]))))
    depth = np.stack(planes)
    points = points_of_depth(depth, cameras, POINTS, str(path))
    return PosedObject(np.stack(images), depth, cameras, points)


def clean_depth(depth: NDArray[np.float32], distance: float) -> NDArray[np.float32]:
    """Clear depth [S, S] that cannot be right: 0 outside the cube's bounding sphere.

    Neighbours of such a pixel are cleared, too. The camera is ``distance`` from the origin.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(depth - distance) <= BOUNDING_RADIUS)  # NaN is wrong, too
    wide = np.pad(wrong, 1)
    height, width = wrong.shape
    near = [wide[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.where(np.logical_or.reduce(near), np.float32(0), depth)


def read_depth(path: Path, size: int) -> NDArray[np.float32]:
    """Read z-depth [S, S], channel A of an EXR file, whose R, G, B are normals; not cleaned.

    Raises:
        InputError: The file is missing, damaged, of another size, or has no such channel.
    """
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
