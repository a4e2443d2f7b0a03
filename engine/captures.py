"""Captures on disk: a ``transforms.json`` folder of NeRF/Blender or nerfstudio."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.atomic import existing_path
from geolrm.engine.cameras import Cameras
from geolrm.engine.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_JSON_BYTES = 64 << 20
MAX_PIXELS = 1 << 27
PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV")  # OPENCV without distortion


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """Posed images of one object, checked as a whole."""

    path: Path
    names: list[str]  # [V] image paths as listed
    images: list[NDArray[np.uint8]]  # V of [H, W, 3|4], straight alpha
    cameras: Cameras  # V, OpenGL, intrinsics divided by the image size

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Capture({str(self.path)!r}, {len(self)} views)"

    def subset(self, indices: list[int]) -> "Capture":
        """The frames at these indices, in this order."""
        for index in indices:
            if not 0 <= index < len(self):
                raise InputError(
                    f"view {index} was asked for, but {str(self.path)!r} has frames 0 to "
                    f"{len(self) - 1}"
                )
        return Capture(
            self.path,
            [self.names[i] for i in indices],
            [self.images[i] for i in indices],
            self.cameras[indices],
        )


def load_capture(path: str | Path) -> Capture:
    """Read a capture: a folder with ``transforms.json``, or the JSON file itself.

    Every listed frame is checked, image and pose, before anything is returned.

    Raises:
        InputError: Names the file or frame, what is wrong with it, and what to do.
    """
    path = existing_path(path)
    file = path / "transforms.json" if path.is_dir() else path
    if not file.is_file():
        found = "" if path.exists() else " (there is no such path)"
        raise InputError(
            f"{str(path)!r} is no capture{found}; give a folder that holds transforms.json with "
            "camera_angle_x or fl_x, and frames with file_path and transform_matrix"
        )
    content = _read_json(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{file} lists no frames; it needs a non-empty list 'frames'")
    names, images, c2w, intrinsics = [], [], [], []
    for index, frame in enumerate(frames):
        where = f"{file}, frame {index}"
        if not isinstance(frame, dict):
            raise InputError(f"{where} is {type(frame).__name__}; it must be an object")
        name = frame.get("file_path")
        if not isinstance(name, str) or not name:
            raise InputError(f"{where} has no file_path; it must name the frame's image")
        c2w.append(_matrix(frame, where))
        image = _read_image(_image_path(file.parent, name, where), where)
        image = _with_mask(image, frame, file.parent, where)
        intrinsics.append(_intrinsics({**content, **frame}, image.shape, where))
        names.append(name)
        images.append(image)
    try:
        cameras = Cameras(np.stack(c2w), np.stack(intrinsics))
        cameras.check_facing()
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return Capture(file.parent if path.is_file() else path, names, images, cameras)


def _read_json(file: Path) -> dict[str, Any]:
    if file.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"{file} is larger than {MAX_JSON_BYTES} bytes; it cannot be a capture")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no valid JSON: {error}; repair or re-create it") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a {type(content).__name__}; it must be a JSON object")
    return content


def _number(fields: dict[str, Any], key: str, where: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {key} is {str(value)[:40]!r}; it must be a finite number")
    return number


def _positive(fields: dict[str, Any], key: str, where: str) -> float | None:
    number = _number(fields, key, where)
    if number is not None and number <= 0:
        raise InputError(f"{where}: {key} is {number:g}; it must be positive")
    return number


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


def _image_path(folder: Path, name: str, where: str) -> Path:
    for suffix in ("", *IMAGE_SUFFIXES):
        candidate = folder / (name + suffix)
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):  # a name too long for the system, or with a null byte
            break
    shown = str(folder / name)
    shown = shown if len(shown) < 300 else f"{shown[:300]}..."
    raise InputError(f"{where}: image {shown!r} is missing; restore it or remove the frame")


def _read_image(path: Path, where: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3|4]; decoded whole, so that a truncated file is found."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode.startswith("I") or image.mode == "F":
                raise InputError(
                    f"{where}: image {str(path)!r} has more than 8 bits a channel (mode "
                    f"{image.mode}); convert it to 8-bit RGB or RGBA"
                )
            if image.width * image.height > MAX_PIXELS:
                raise InputError(
                    f"{where}: image {str(path)!r} has {image.width} x {image.height} pixels, "
                    "more than are supported; make it smaller"
                )
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    except UnidentifiedImageError as error:
        raise InputError(
            f"{where}: {str(path)!r} is no image that can be read; replace it by PNG, JPEG or WebP"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{where}: image {str(path)!r} states more pixels than are supported; make it smaller"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{where}: image {str(path)!r} cannot be decoded: {error}; it may be truncated, "
            "restore it"
        ) from error


def _with_mask(
    image: NDArray[np.uint8], frame: dict[str, Any], folder: Path, where: str
) -> NDArray[np.uint8]:
    """Use the nerfstudio mask of the frame as alpha, when there is one."""
    name = frame.get("mask_path")
    if name is None:
        return image
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: mask_path is {name!r}; it must name the frame's mask")
    mask = _read_image(_image_path(folder, name, where), where)[..., 0]
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"{where}: mask {name!r} has {mask.shape[1]} x {mask.shape[0]} pixels, its image "
            f"{image.shape[1]} x {image.shape[0]}; they must agree"
        )
    return np.dstack([image[..., :3], mask])


def _intrinsics(fields: dict[str, Any], shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    """[3, 3], divided by the image size, from pixels or from the field of view."""
    height, width = shape[:2]
    model = fields.get("camera_model", "PINHOLE")
    if model not in PINHOLE_MODELS:
        raise InputError(
            f"{where}: camera_model is {model!r}; only pinhole cameras are supported "
            f"({', '.join(PINHOLE_MODELS)}): undistort the images first"
        )
    listed_width = _positive(fields, "w", where) or width
    listed_height = _positive(fields, "h", where) or height
    if abs(listed_width * height - listed_height * width) > max(width, height):
        raise InputError(
            f"{where}: w and h are {listed_width:g} x {listed_height:g}, but the image has {width} "
            f"x {height} pixels, another shape; correct w and h, or the image"
        )
    fl_x = _positive(fields, "fl_x", where)
    angle_x = _number(fields, "camera_angle_x", where)
    for key in ("k1", "k2", "k3", "k4", "p1", "p2"):
        if abs(_number(fields, key, where) or 0) > 1e-4:
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
    fl_y = _positive(fields, "fl_y", where) or fl_x
    cx = _number(fields, "cx", where)
    cy = _number(fields, "cy", where)
    cx = 0.5 * listed_width if cx is None else cx
    cy = 0.5 * listed_height if cy is None else cy
    return np.array(
        [
            [fl_x / listed_width, 0, cx / listed_width],
            [0, fl_y / listed_height, cy / listed_height],
            [0, 0, 1],
        ]
    )
