"""COLMAP sparse models: images whose poses are in a frame of their own."""

from pathlib import Path

import numpy as np

from geolrm.engine.captures.capture import Capture, check_frames
from geolrm.engine.captures.colmap_model import model_suffix, read_model
from geolrm.engine.captures.file_search import FileSearch, missing_note, name_some
from geolrm.engine.captures.images import (
    LONGEST_SIDE,
    ImageReader,
    check_shape,
    list_images,
    natural_sort,
)
from geolrm.engine.captures.lazy_images import LazyImages, without_distortion
from geolrm.engine.captures.mask_folder import with_mask_folder
from geolrm.engine.captures.undistortion import distortion_note
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "0", ".")
IMAGE_FOLDERS = ("images", "input", ".")
MASK_FOLDER = "masks"
MOST_TRIED = 1000  # names that tell which folder is theirs


def find_model(folder: Path) -> Path | None:
    """Find the folder of the sparse model of a project; None if there is none."""
    for name in MODEL_FOLDERS:
        if model_suffix(folder / name) is not None:
            return folder / name
    return None


def read_colmap(
    model_folder: Path,
    folder: Path,
    *,
    longest_side: int = LONGEST_SIDE,
    allow_outside: bool = False,
) -> Capture:
    """Read images, cameras and points, in the frame of the model, which may be any.

    Images are looked for in ``images``, ``input`` or beside the model, upwards from it; those that
    are gone are left out, and a note counts them. A folder ``masks`` in theirs or beside it holds
    ``NAME.png`` for the image ``NAME.jpg``, or ``NAME.jpg.png``, or a mask of the image's name.
    Files outside these folders are read where ``allow_outside`` says so.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
        GeoLRMError: Lenses distort and pycolmap, which corrects it, is not installed.
    """
    model = read_model(model_folder)
    check_frames(len(model.names), model_folder)
    root = _image_folder(model_folder, model.names, allow_outside)
    reader = ImageReader(longest_side=longest_side)
    search = FileSearch(root, allow_outside=allow_outside)
    pictures, lenses, kept, missing = [], [], [], []
    for index, (name, key) in enumerate(zip(model.names, model.camera_ids, strict=True)):
        file = search.find(name)
        if file is None:
            missing.append(name)
            continue
        where = f"{model_folder}, image {name[:200]!r}"
        camera = model.cameras[key]
        listed = (camera.width, camera.height)
        picture = reader.measure(file, where, listed)
        check_shape(listed, picture.shape, f"{where}: its camera's pixels")
        pictures.append(picture)
        lenses.append(camera)
        kept.append(index)
    names = [model.names[index] for index in kept]
    beside = root if search.descend([MASK_FOLDER]) is not None else root.parent
    photographs, notes = with_mask_folder(
        LazyImages(reader, pictures), beside, names, allow_outside=allow_outside
    )
    images, lenses, valid, distorted = without_distortion(photographs, lenses)
    try:
        c2w = np.linalg.inv(model.w2c[kept]) @ FLIP_YZ
        intrinsics = np.stack([lens.normalised for lens in lenses])
        cameras = Cameras(c2w.astype(np.float64), intrinsics)
    except InputError as error:
        raise InputError(f"{model_folder}: {error}") from error
    return Capture(
        folder,
        names,
        images,
        cameras,
        kind="colmap",
        source=model_folder,
        points=model.points,
        valid=valid,
        missing=tuple(missing),
        notes=(
            *_notes_of_models(model_folder),
            *([missing_note(missing, len(model.names))] if missing else []),
            *_notes_of_images(len(names), root),
            *notes,
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


def _notes_of_images(posed: int, root: Path) -> list[str]:
    listed = len(list_images(root))
    if listed <= posed:
        return []
    return [f"{posed} of {listed} images have a pose; the others were left out"]


def _image_folder(model: Path, names: list[str], allow_outside: bool) -> Path:
    """Find the folder that names are relative to: the nearest upwards that has one of them."""
    for above in (model, *list(model.absolute().parents)[:3]):
        for below in IMAGE_FOLDERS:
            inside = FileSearch(above, allow_outside=allow_outside)
            folder = inside.descend([below]) if below != "." else above
            if folder is None:
                continue
            search = FileSearch(folder, allow_outside=True)  # refused where they are read
            if any(search.find(name) is not None for name in names[:MOST_TRIED]):
                return folder
    where = f"{model.parent if model.name.isdecimal() else model}"
    raise InputError(
        f"{model}: every one of the {len(names)} images of the model is missing "
        f"({name_some(names)}); put the images into a folder 'images' beside {where!r}"
    )
