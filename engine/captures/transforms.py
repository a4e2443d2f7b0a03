"""NeRF/Blender ``transforms*.json`` and nerfstudio ``transforms.json``."""

import math
import reprlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cameras import Cameras
from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.images import ImageReader, find_image, with_alpha
from geolrm.engine.captures.json_fields import number, positive, read_json
from geolrm.engine.errors import InputError

PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV")  # OPENCV without distortion
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
NO_DISTORTION = 1e-4  # what moves no pixel of a model's input


def read_transforms(file: Path, folder: Path, notes: tuple[str, ...] = ()) -> Capture:
    """Every frame of the file, image and pose.

    Args:
        file: The JSON file; images are named relative to its folder.
        folder: What the capture is called.
        notes: Of the choice of the file.
    """
    content = read_json(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{file} lists no frames; it needs a non-empty list 'frames'")
    names, images, c2w, intrinsics = [], [], [], []
    reader = ImageReader()
    for index, frame in enumerate(frames):
        where = f"{file}, frame {index}"
        if not isinstance(frame, dict):
            raise InputError(f"{where} is {type(frame).__name__}; it must be an object")
        name = frame.get("file_path")
        if not isinstance(name, str) or not name:
            raise InputError(f"{where} has no file_path; it must name the frame's image")
        c2w.append(_matrix(frame, where))
        image = reader.read(find_image(file.parent, name, where), where)
        image = _with_mask(image, frame, file.parent, reader, where)
        intrinsics.append(_intrinsics({**content, **frame}, image.shape, where))
        names.append(name)
        images.append(image)
    try:
        cameras = Cameras(np.stack(c2w), np.stack(intrinsics))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return Capture(folder, names, images, cameras, source=file, notes=notes)


def _matrix(frame: dict[str, Any], where: str) -> NDArray[np.float64]:
    try:
        matrix = np.array(frame.get("transform_matrix"), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0, 0, 0, 1]])
    if matrix.shape != (4, 4):
        raise InputError(
            f"{where}: transform_matrix must be a 4x4 camera-to-world matrix of numbers; it has "
            f"shape {matrix.shape}"
        )
    return matrix


def _with_mask(
    image: NDArray[np.uint8], frame: dict[str, Any], folder: Path, reader: ImageReader, where: str
) -> NDArray[np.uint8]:
    """Use the nerfstudio mask of the frame as alpha, when there is one."""
    name = frame.get("mask_path")
    if name is None:
        return image
    if not isinstance(name, str) or not name:
        raise InputError(
            f"{where}: mask_path is {reprlib.repr(name)}; it must name the frame's mask"
        )
    return with_alpha(image, reader.read(find_image(folder, name, where), where), name, where)


def check_aspect(listed: tuple[float, float], shape: tuple[int, ...], what: str) -> None:
    """The listed (width, height) may be another size than the image's, not another shape."""
    height, width = shape[:2]
    if abs(listed[0] * height - listed[1] * width) > max(width, height):
        raise InputError(
            f"{what} are {listed[0]:g} x {listed[1]:g}, but the image has {width} x {height} "
            "pixels, another shape; correct w and h, or the image"
        )


def _intrinsics(fields: dict[str, Any], shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    """[3, 3], divided by the image size, from pixels or from the field of view."""
    height, width = shape[:2]
    model = fields.get("camera_model", "PINHOLE")
    if model not in PINHOLE_MODELS:
        raise InputError(
            f"{where}: camera_model is {reprlib.repr(model)}; only pinhole cameras are supported "
            f"({', '.join(PINHOLE_MODELS)}): undistort the images first"
        )
    listed_width = positive(fields, "w", where) or width
    listed_height = positive(fields, "h", where) or height
    check_aspect((listed_width, listed_height), shape, f"{where}: w and h")
    fl_x = positive(fields, "fl_x", where)
    angle_x = number(fields, "camera_angle_x", where)
    for key in DISTORTION:
        if abs(number(fields, key, where) or 0) > NO_DISTORTION:
            raise InputError(
                f"{where}: lens distortion {key} = {fields[key]} is not supported; undistort the "
                "images first (nerfstudio: ns-process-data, COLMAP: image_undistorter)"
            )
    if fl_x is None:
        if angle_x is None:
            raise InputError(
                f"{where} has neither fl_x (pixels) nor camera_angle_x (radians); one is needed"
            )
        if not 0 < angle_x < math.pi:
            raise InputError(
                f"{where}: camera_angle_x is {angle_x:g}; it must be in radians, between 0 and pi"
            )
        fl_x = 0.5 * listed_width / math.tan(angle_x / 2)
    fl_y = positive(fields, "fl_y", where) or fl_x
    cx = number(fields, "cx", where)
    cy = number(fields, "cy", where)
    cx = 0.5 * listed_width if cx is None else cx
    cy = 0.5 * listed_height if cy is None else cy
    return np.array(
        [
            [fl_x / listed_width, 0, cx / listed_width],
            [0, fl_y / listed_height, cy / listed_height],
            [0, 0, 1],
        ]
    )
