"""NeRF/Blender ``transforms*.json`` and nerfstudio ``transforms.json``."""

import math
import reprlib
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture, check_frames
from geolrm.engine.captures.colmap_model import NO_DISTORTION, SparseCamera
from geolrm.engine.captures.file_search import FileSearch, all_missing, missing_note, name_some
from geolrm.engine.captures.images import LONGEST_SIDE, ImageReader, check_shape
from geolrm.engine.captures.json_fields import number, positive, read_json
from geolrm.engine.captures.lazy_images import LazyImages, without_distortion
from geolrm.engine.captures.mask_folder import with_mask_folder
from geolrm.engine.captures.undistortion import distortion_note
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.similarity import move_poses

PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
FISHEYE = "OPENCV_FISHEYE"


def read_transforms(
    file: Path,
    folder: Path,
    notes: tuple[str, ...] = (),
    *,
    undo_applied: bool = False,
    longest_side: int = LONGEST_SIDE,
    allow_outside: bool = False,
) -> Capture:
    """Read every frame of the file whose image is there; a note counts those left out.

    Where no frame names a mask, those of a folder ``masks`` beside the file are taken.

    Args:
        file: The JSON file; images are named relative to its folder.
        folder: What the capture is called.
        notes: What the choice of this file left out, a sentence each.
        undo_applied: Give the poses before nerfstudio's ``applied_transform``.
        longest_side: Of an image, in pixels; larger ones are reduced.
        allow_outside: Read files outside the folder of the JSON file, too.

    Raises:
        InputError: Names the frame, what is wrong with it, and what to do.
        GeoLRMError: Lenses distort and pycolmap, which corrects it, is not installed.
    """
    content = read_json(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{file} lists no frames; it needs a non-empty list 'frames'")
    check_frames(len(frames), file)
    reader = ImageReader(longest_side=longest_side)
    search = FileSearch(file.parent, allow_outside=allow_outside)
    found = _find_files(frames, file, search)
    pictures, lenses = [], []
    for each in found.frames:
        fields = ChainMap(each.fields, content)  # a frame's own first, without a copy of all
        width, height = positive(fields, "w", each.where), positive(fields, "h", each.where)
        size = (width, height) if width and height else None
        picture = reader.measure(each.image, each.where, size, each.mask, each.mask_name)
        pictures.append(picture)
        lenses.append(_camera(fields, picture.shape, each.where))
    photographs = LazyImages(reader, pictures)
    if not any("mask_path" in each.fields for each in found.frames):
        photographs, note = with_mask_folder(
            photographs, file.parent, found.names, allow_outside=allow_outside
        )
        found.notes.extend(note)
    images, lenses, valid, distorted = without_distortion(photographs, lenses)
    try:
        cameras = Cameras(np.stack(found.c2w), np.stack([lens.normalised for lens in lenses]))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    notes = (*notes, *found.notes, *reader.notes, *distortion_note(distorted))
    if content.get("applied_transform") is not None:
        if undo_applied:
            cameras = Cameras(_before_applied(content, cameras.c2w, file), cameras.intrinsics)
        undone = "undone" if undo_applied else "left as it is"
        notes = (*notes, f"the applied_transform of the file was {undone}")
    return Capture(
        folder, found.names, images, cameras, source=file, notes=notes,
        missing=tuple(found.missing), valid=valid,
    )  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class _Frame:
    fields: dict[str, Any]
    where: str
    image: Path
    mask: Path | None
    mask_name: str


@dataclass(frozen=True, slots=True)
class _Found:
    """The frames whose files are there."""

    frames: list[_Frame]
    names: list[str]
    c2w: list[NDArray[np.float64]]  # [4, 4] each
    notes: list[str]
    missing: list[str]  # listed files that are not there, for which frames were left out


def _find_files(frames: list[Any], file: Path, search: FileSearch) -> _Found:
    """Find the image and the mask of every frame; frames whose files are gone are left out.

    Raises:
        InputError: A frame is malformed, or no image is there.
    """
    found, missing, bare = _Found([], [], [], [], []), [], []
    for index, frame in enumerate(frames):
        where = f"{file}, frame {index}"
        if not isinstance(frame, dict):
            raise InputError(f"{where} is {type(frame).__name__}; it must be an object")
        name = frame.get("file_path")
        if not isinstance(name, str) or not name:
            raise InputError(f"{where} has no file_path; it must name the frame's image")
        mask_name = frame.get("mask_path")
        if mask_name is not None and (not isinstance(mask_name, str) or not mask_name):
            raise InputError(
                f"{where}: mask_path is {reprlib.repr(mask_name)}; it must name the frame's mask"
            )
        matrix = _matrix(frame, "transform_matrix", where)
        image = search.find(name)
        if image is None:
            missing.append(name)
            continue
        mask = search.find(mask_name, is_mask=True) if mask_name else None
        if mask_name and mask is None:
            bare.append(len(found.frames))
        found.frames.append(_Frame(frame, where, image, mask, mask_name or ""))
        found.names.append(name)
        found.c2w.append(matrix)
    if not found.frames:
        raise InputError(all_missing(str(file), missing, str(file.parent)))
    if missing:
        found.notes.append(missing_note(missing, len(frames)))
        found.missing.extend(missing)
    masked = sum(bool(each.mask_name) for each in found.frames)
    if bare and len(bare) == masked:
        found.notes.append(
            f"none of the {masked} masks that {file.name} lists is there; images were read without"
        )
    elif bare:
        names = [found.frames[index].mask_name for index in bare]
        found.notes.append(
            f"listed masks that are missing, whose frames were left out: {len(bare)} of {masked} "
            f"({name_some(names)})"
        )
        found.missing.extend(names)
        for listed in (found.frames, found.names, found.c2w):
            for index in reversed(bare):
                del listed[index]
    return found


def _camera(fields: Mapping[str, Any], shape: tuple[int, ...], where: str) -> SparseCamera:
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
