"""COLMAP sparse models: images whose poses are in a frame of their own."""

from pathlib import Path

import numpy as np

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.colmap_model import SparseModel, model_suffix, read_model
from geolrm.engine.captures.images import (
    ImageReader,
    check_shape,
    find_image,
    list_images,
    natural_sort,
    with_alpha,
)
from geolrm.engine.captures.undistortion import distortion_note, undistorted, valid_masks
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "0", ".")
IMAGE_FOLDERS = ("images", "input", ".")
MASK_FOLDER = "masks"


def find_model(folder: Path) -> Path | None:
    """Find the folder of the sparse model of a project; None if there is none."""
    for name in MODEL_FOLDERS:
        if model_suffix(folder / name) is not None:
            return folder / name
    return None


def read_colmap(model_folder: Path, folder: Path) -> Capture:
    """Read images, cameras and points, in the frame of the model, which may be any.

    Images are looked for in ``images``, ``input`` or beside the model, upwards from it; a folder
    ``masks`` beside them holds ``NAME.png`` for the image ``NAME.jpg``, or ``NAME.jpg.png``.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
        GeoLRMError: Lenses distort and pycolmap, which corrects it, is not installed.
    """
    model = read_model(model_folder)
    root = _image_folder(model_folder, model.names[0])
    reader = ImageReader()
    images, intrinsics, valid, distorted = [], [], [], 0
    for name, key in zip(model.names, model.camera_ids, strict=True):
        where = f"{model_folder}, image {name[:200]!r}"
        camera = model.cameras[key]
        listed = (camera.width, camera.height)
        image = reader.read(find_image(root, name, where), where, listed)
        if (mask := _mask_file(root, name)) is not None:
            image = with_alpha(image, reader.read(mask, where, listed), str(mask), where)
        check_shape(listed, image.shape, f"{where}: its camera's pixels")
        known = None
        if camera.distorts:
            distorted += 1
            image, camera, known = undistorted(image, camera, where)
        intrinsics.append(camera.normalised)
        images.append(image)
        valid.append(known)
    try:
        c2w = np.linalg.inv(model.w2c) @ FLIP_YZ
        cameras = Cameras(c2w.astype(np.float64), np.array(intrinsics))
    except InputError as error:
        raise InputError(f"{model_folder}: {error}") from error
    return Capture(
        folder,
        model.names,
        images,
        cameras,
        kind="colmap",
        source=model_folder,
        points=model.points,
        valid=valid_masks(valid),
        notes=(
            *_notes_of_models(model_folder),
            *_notes_of_images(model, root),
            *reader.notes,
            *distortion_note(distorted),
        ),
    )


def _notes_of_models(model: Path) -> list[str]:
    """Name the models passed over: COLMAP writes one for each group that it could not join."""
    if not model.name.isdecimal():
        return []
    others = [
        entry.name
        for entry in natural_sort(model.parent.iterdir())
        if entry.name.isdecimal() and entry.name != model.name and model_suffix(entry)
    ]
    if not others:
        return []
    names = ", ".join(others[:8]) + (" and more" if len(others) > 8 else "")
    return [f"{model.name} of {model.parent} was read, its other models ({names}) were not"]


def _notes_of_images(model: SparseModel, root: Path) -> list[str]:
    listed = len(list_images(root))
    if listed <= len(model.names):
        return []
    return [f"{len(model.names)} of {listed} images have a pose; the others were left out"]


def _image_folder(model: Path, name: str) -> Path:
    """Find the folder that names are relative to: the nearest upwards with the first image."""
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
