"""NeRF/Blender ``transforms*.json`` and nerfstudio ``transforms.json``."""

import math
import reprlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.colmap_model import NO_DISTORTION, SparseCamera
from geolrm.engine.captures.images import ImageReader, check_shape, find_image, with_alpha
from geolrm.engine.captures.json_fields import number, positive, read_json
from geolrm.engine.captures.undistortion import distortion_note, undistorted, valid_masks
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.similarity import move_poses

PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
FISHEYE = "OPENCV_FISHEYE"


def read_transforms(
    file: Path, folder: Path, notes: tuple[str, ...] = (), *, undo_applied: bool = False
) -> Capture:
    """Read every frame of the file, image and pose.

    Args:
        file: The JSON file; images are named relative to its folder.
        folder: What the capture is called.
        notes: What the choice of this file left out, a sentence each.
        undo_applied: Give the poses before nerfstudio's ``applied_transform``.

    Raises:
        InputError: Names the frame, what is wrong with it, and what to do.
        GeoLRMError: Lenses distort and pycolmap, which corrects it, is not installed.
    """
    content = read_json(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{file} lists no frames; it needs a non-empty list 'frames'")
    names, images, c2w, intrinsics, valid, distorted = [], [], [], [], [], 0
    reader = ImageReader()
    for index, frame in enumerate(frames):
        where = f"{file}, frame {index}"
        if not isinstance(frame, dict):
            raise InputError(f"{where} is {type(frame).__name__}; it must be an object")
        name = frame.get("file_path")
        if not isinstance(name, str) or not name:
            raise InputError(f"{where} has no file_path; it must name the frame's image")
        c2w.append(_matrix(frame, "transform_matrix", where))
        fields = {**content, **frame}
        width, height = positive(fields, "w", where), positive(fields, "h", where)
        size = (width, height) if width and height else None
        image = reader.read(find_image(file.parent, name, where), where, size)
        image = _with_mask(image, frame, file.parent, reader, size, where)
        camera = _camera(fields, image.shape, where)
        known = None
        if camera.distorts:
            distorted += 1
            image, camera, known = undistorted(image, camera, where)
        intrinsics.append(camera.normalised)
        names.append(name)
        images.append(image)
        valid.append(known)
    try:
        cameras = Cameras(np.stack(c2w), np.stack(intrinsics))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    notes = (*notes, *reader.notes, *distortion_note(distorted))
    if content.get("applied_transform") is not None:
        if undo_applied:
            cameras = Cameras(_before_applied(content, cameras.c2w, file), cameras.intrinsics)
        undone = "undone" if undo_applied else "left as it is"
        notes = (*notes, f"the applied_transform of the file was {undone}")
    return Capture(
        folder, names, images, cameras, source=file, notes=notes, valid=valid_masks(valid)
    )


def _before_applied(
    content: dict[str, Any], c2w: NDArray[np.float64], file: Path
) -> NDArray[np.float64]:
    """Return the poses [V, 4, 4] in the frame before nerfstudio moved, then scaled, them."""
    matrix = _matrix(content, "applied_transform", str(file))
    matrix[:3] *= positive(content, "applied_scale", str(file)) or 1.0
    try:
        with np.errstate(all="ignore"):
            return move_poses(c2w, np.linalg.inv(matrix).astype(np.float64))
    except (InputError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{file}: applied_transform cannot be undone: it must be a rotation and a translation; "
            "correct it"
        ) from error


def _matrix(fields: dict[str, Any], key: str, where: str) -> NDArray[np.float64]:
    try:
        matrix = np.array(fields.get(key), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0, 0, 0, 1]])
    if matrix.shape != (4, 4):
        what = "camera-to-world matrix" if key == "transform_matrix" else "matrix"
        raise InputError(
            f"{where}: {key} must be a 4x4 {what} of numbers; it has shape {matrix.shape}"
        )
    return matrix


def _with_mask(
    image: NDArray[np.uint8],
    frame: dict[str, Any],
    folder: Path,
    reader: ImageReader,
    size: tuple[float, float] | None,
    where: str,
) -> NDArray[np.uint8]:
    """Give an image its frame's nerfstudio mask as alpha, where there is one."""
    name = frame.get("mask_path")
    if name is None:
        return image
    if not isinstance(name, str) or not name:
        raise InputError(
            f"{where}: mask_path is {reprlib.repr(name)}; it must name the frame's mask"
        )
    mask = reader.read(find_image(folder, name, where), where, size)
    return with_alpha(image, mask, name, where)


def _camera(fields: dict[str, Any], shape: tuple[int, ...], where: str) -> SparseCamera:
    """Make intrinsics in pixels of the image, from focal lengths or the field of view."""
    height, width = shape[:2]
    model = fields.get("camera_model", "PINHOLE")
    if fields.get("is_fisheye") is True:  # how instant-ngp says it
        model = FISHEYE
    if model != FISHEYE and model not in PINHOLE_MODELS:
        raise InputError(
            f"{where}: camera_model is {reprlib.repr(model)}; it must be one of "
            f"{', '.join((*PINHOLE_MODELS, FISHEYE))}: make pinhole images of them first"
        )
    listed_width = positive(fields, "w", where) or width
    listed_height = positive(fields, "h", where) or height
    check_shape((listed_width, listed_height), shape, f"{where}: w and h")
    fl_x = positive(fields, "fl_x", where)
    angle_x = number(fields, "camera_angle_x", where)
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
    cx, cy = number(fields, "cx", where), number(fields, "cy", where)
    cx = 0.5 * listed_width if cx is None else cx
    cy = 0.5 * listed_height if cy is None else cy
    k1, k2, k3, k4, p1, p2 = (
        number(fields, key, where) or 0.0 for key in ("k1", "k2", "k3", "k4", "p1", "p2")
    )
    if model == FISHEYE:
        lens = (k1, k2, k3, k4)
    elif max(map(abs, (k1, k2, k3, k4, p1, p2))) <= NO_DISTORTION:
        model, lens = "PINHOLE", ()
    elif abs(k4) > NO_DISTORTION:
        raise InputError(
            f"{where}: k4 is {k4:g}, which only {FISHEYE} has; correct camera_model, or undistort "
            "the images first"
        )
    else:
        model, lens = "FULL_OPENCV", (k1, k2, p1, p2, k3, 0.0, 0.0, 0.0)
    along, down = width / listed_width, height / listed_height
    parameters = (fl_x * along, fl_y * down, cx * along, cy * down, *lens)
    return SparseCamera(model, width, height, parameters)
