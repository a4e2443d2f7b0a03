"""A folder of images, in natural order of their names, with ``poses.npy``."""

from pathlib import Path

import numpy as np

from geolrm.engine.captures.arrays import read_matrices
from geolrm.engine.captures.capture import Capture, check_frames
from geolrm.engine.captures.file_search import check_inside
from geolrm.engine.captures.images import LONGEST_SIDE, ImageReader, list_images
from geolrm.engine.captures.lazy_images import LazyImages
from geolrm.engine.captures.mask_folder import with_mask_folder
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras, intrinsics_from_fov

POSES, INTRINSICS = "poses.npy", "intrinsics.npy"
DEFAULT_FOV = 50.0  # degrees, across the width


def read_posed_folder(
    folder: Path, *, longest_side: int = LONGEST_SIDE, allow_outside: bool = False
) -> Capture:
    """Read images and ``poses.npy``: OpenGL camera-to-world [V, 4, 4] or [V, 3, 4].

    Image i, in natural order of the names, has pose i.

    ``intrinsics.npy`` is [3, 3] or [V, 3, 3], divided by the image size; without it the field of
    view is 50 degrees across the width, pixels are square and the principal point is centred.
    Images are those beside the file, or of the folder ``images`` in it; those without alpha take
    the masks of a folder ``masks``.
    """
    poses = read_matrices(folder / POSES, ((4, 4), (3, 4)))
    if poses.shape[1] == 3:
        last = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(poses), 1, 4))
        poses = np.concatenate([poses, last], axis=1)
    files = list_images(folder)
    if not files and (folder / "images").is_dir():
        files = list_images(folder / "images")
    if len(files) != len(poses):
        raise InputError(
            f"{str(folder)!r} has {len(files)} images but {len(poses)} poses in {POSES}; there "
            "must be one pose for each image, in natural order of the names"
        )
    check_frames(len(files), folder / POSES)
    check_inside(files, folder, allow_outside)
    reader = ImageReader(longest_side=longest_side)
    names = [file.relative_to(folder).as_posix() for file in files]
    pictures = [reader.measure(file, str(folder)) for file in files]
    images, used = with_mask_folder(
        LazyImages(reader, pictures), folder, names, allow_outside=allow_outside
    )
    notes = [f"images in natural order: {files[0].name} is pose 0", *used]
    if (folder / INTRINSICS).is_file():
        intrinsics = read_matrices(folder / INTRINSICS, ((3, 3),))
        if len(intrinsics) not in (1, len(poses)):
            raise InputError(
                f"{str(folder / INTRINSICS)!r} holds {len(intrinsics)} matrices for {len(poses)} "
                "images; it must hold one, or one for each image"
            )
        intrinsics = np.broadcast_to(intrinsics, (len(poses), 3, 3))
    else:
        notes.append(f"no {INTRINSICS}: a field of view of {DEFAULT_FOV:g} degrees is assumed")
        intrinsics = np.tile(intrinsics_from_fov(DEFAULT_FOV), (len(poses), 1, 1))
        intrinsics[:, 1, 1] *= [shape[1] / shape[0] for shape in images.shapes]
    try:
        cameras = Cameras(poses, intrinsics)
    except InputError as error:
        raise InputError(f"{folder / POSES}: {error}") from error
    return Capture(
        folder, names, images, cameras, kind="poses", source=folder / POSES, notes=tuple(notes)
    )
