"""COLMAP sparse models: photos whose poses are in a frame of their own."""

from pathlib import Path

import numpy as np

from geolrm.engine.cameras import FLIP_YZ, Cameras
from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.colmap_model import SparseModel, model_suffix, read_model
from geolrm.engine.captures.fitting import fit_to_cube
from geolrm.engine.captures.images import ImageReader, find_image, list_images, with_alpha
from geolrm.engine.captures.transforms import NO_DISTORTION, check_aspect
from geolrm.engine.captures.undistortion import undistorted
from geolrm.engine.errors import InputError
from geolrm.engine.similarity import apply, move_poses

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
IMAGE_FOLDERS = ("images", "input", ".")
MASK_FOLDER = "masks"
LONGEST_SIDE = 2048  # px; larger photos are reduced, since models read a few hundred


def find_model(folder: Path) -> Path | None:
    """The folder of the model that belongs to a project, if there is one."""
    for name in MODEL_FOLDERS:
        if model_suffix(folder / name) is not None:
            return folder / name
    return None


def read_colmap(model_folder: Path, folder: Path) -> Capture:
    """Images, cameras and points, moved and scaled into the object cube.

    Images are looked for in ``images``, ``input`` or beside the model, upwards from it; a folder
    ``masks`` beside them holds ``NAME.png`` for the image ``NAME.jpg``, or ``NAME.jpg.png``.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
        GeoLRMError: Lenses distort and pycolmap, which corrects it, is not installed.
    """
    model = read_model(model_folder)
    root = _image_folder(model_folder, model.names[0])
    reader = ImageReader(longest_side=LONGEST_SIDE)
    images, intrinsics, distorted = [], [], 0
    for name, key in zip(model.names, model.camera_ids, strict=True):
        where = f"{model_folder}, image {name[:200]!r}"
        image = reader.read(find_image(root, name, where), where)
        if (mask := _mask_file(root, name)) is not None:
            image = with_alpha(image, reader.read(mask, where), str(mask), where)
        camera = model.cameras[key]
        check_aspect((camera.width, camera.height), image.shape, f"{where}: its camera's pixels")
        if max(map(abs, camera.distortion), default=0) > NO_DISTORTION:
            distorted += 1
            image, camera = undistorted(image, camera, where)
        fx, fy, cx, cy = camera.pinhole
        intrinsics.append(
            [
                [fx / camera.width, 0, cx / camera.width],
                [0, fy / camera.height, cy / camera.height],
                [0, 0, 1],
            ]
        )
        images.append(image)
    try:
        c2w = np.linalg.inv(model.w2c) @ FLIP_YZ
        cameras = Cameras(c2w.astype(np.float64), np.array(intrinsics))
    except InputError as error:
        raise InputError(f"{model_folder}: {error}") from error
    matrix, notes = fit_to_cube(
        images, cameras.c2w, cameras.intrinsics, model.points, str(model_folder)
    )
    to_object = np.linalg.inv(matrix).astype(np.float64)
    return Capture(
        folder,
        model.names,
        images,
        Cameras(move_poses(cameras.c2w, to_object), cameras.intrinsics),
        kind="colmap",
        source=model_folder,
        object_to_world=matrix,
        points=apply(to_object, model.points),
        notes=(*_reading_notes(model, root, reader.reduced, distorted), *notes),
    )


def _reading_notes(model: SparseModel, root: Path, reduced: int, distorted: int) -> list[str]:
    notes = []
    listed = len(list_images(root))
    if listed > len(model.names):
        notes.append(f"{len(model.names)} of {listed} images have a pose; the others were left out")
    if reduced:
        notes.append(f"{reduced} images were reduced to {LONGEST_SIDE} px")
    if distorted:
        notes.append(f"lens distortion of {distorted} images was removed")
    return notes


def _image_folder(model: Path, name: str) -> Path:
    """The nearest folder upwards that has the first image."""
    for above in (model, *list(model.absolute().parents)[:3]):
        for below in IMAGE_FOLDERS:
            try:
                if (above / below / name).is_file():
                    return above / below
            except (OSError, ValueError):
                break
    raise InputError(
        f"{model}: image {name[:200]!r} of the model is missing; put the images into a folder "
        "'images' beside 'sparse'"
    )


def _mask_file(root: Path, name: str) -> Path | None:
    folder = root / MASK_FOLDER if (root / MASK_FOLDER).is_dir() else root.parent / MASK_FOLDER
    for candidate in (folder / f"{name}.png", (folder / name).with_suffix(".png")):
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):
            break
    return None
