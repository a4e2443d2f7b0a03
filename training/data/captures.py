"""Captures with depth: what `geolrm.engine.captures` reads, and a depth PNG for each frame."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures import load_complete_capture
from geolrm.engine.captures.arrays import read_points
from geolrm.engine.captures.json_fields import read_json
from geolrm.engine.errors import InputError
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.views import points_of_depth

POINTS = 20_000  # from depth, where there is no points.npz


def load_posed_capture(path: str | Path) -> PosedObject:
    """Read a capture folder, or one of its JSON files, as a training object.

    Frames need ``depth_file_path`` (16-bit PNG, z-depth; ``depth_unit_scale_factor`` gives its
    unit). Surface points are those of ``points.npz`` beside the JSON file, only the ``visible``
    ones where it says so; without the file they are back-projected from the depth.

    Raises:
        InputError: Names the file or frame, what is wrong with it, and what to do.
    """
    capture = load_complete_capture(path)
    file = capture.source
    if capture.kind != "transforms" or file is None:
        raise InputError(
            f"{str(path)!r} is of the kind {capture.kind!r}, which names no depth; training needs "
            "a transforms.json with a depth PNG for each frame"
        )
    rgba = _square_rgba(capture.images, capture.names, file)
    depth = _read_depth(file, rgba.shape[1])
    stored = file.parent / "points.npz"
    derived = points_of_depth(depth, capture.cameras, POINTS, str(file))
    points = read_points(stored) if stored.is_file() else derived
    return PosedObject(rgba, depth, capture.cameras, points)


def _square_rgba(images: Sequence[NDArray[np.uint8]], names: list[str], file: Path) -> NDArray:
    """Stack frames, which must have one square size and an alpha channel: [V, S, S, 4]."""
    size = images[0].shape[0]
    for name, image in zip(names, images, strict=True):
        if image.shape != (size, size, 4):
            height, width, channels = image.shape
            raise InputError(
                f"{file}: {name!r} has {width} x {height} px and {channels} channels; all frames "
                f"must be {size} x {size} px with 4 channels (RGBA) to train on them"
            )
    return np.stack(images)


def _read_depth(file: Path, size: int) -> NDArray[np.float32]:
    """Read depth [V, S, S] of frames that `load_complete_capture` checked."""
    content = read_json(file)
    unit = content.get("depth_unit_scale_factor")
    if isinstance(unit, bool) or not isinstance(unit, int | float) or not 0 < unit < 1:
        raise InputError(
            f"{file}: depth_unit_scale_factor is {unit!r}; it must be a number between 0 and 1, "
            "the depth of one step of the PNGs"
        )
    planes = []
    for index, frame in enumerate(content["frames"]):
        name = frame.get("depth_file_path")
        if not isinstance(name, str) or not name:
            raise InputError(
                f"{file}, frame {index} has no depth_file_path; training needs a depth PNG for "
                "each frame"
            )
        planes.append(_read_png16(file.parent / name, size) * np.float32(unit))
    return np.stack(planes)


def _read_png16(path: Path, size: int) -> NDArray[np.float32]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if not image.mode.startswith("I") or image.size != (size, size):
                raise InputError(
                    f"depth {str(path)!r} has mode {image.mode} and {image.width} x "
                    f"{image.height} px; it must be a 16-bit grey PNG of {size} x {size} px"
                )
            return np.asarray(image).astype(np.float32)
    except (
        OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        if isinstance(error, InputError):
            raise
        raise InputError(f"depth {str(path)!r} cannot be read: {error}; restore it") from error
