"""LLFF: a folder of images with ``poses_bounds.npy``."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.arrays import read_table
from geolrm.engine.captures.capture import Capture, check_frames
from geolrm.engine.captures.file_search import check_inside
from geolrm.engine.captures.images import LONGEST_SIDE, ImageReader, list_images, same_shape
from geolrm.engine.captures.lazy_images import LazyImages
from geolrm.engine.captures.mask_folder import with_mask_folder
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras

POSES_BOUNDS = "poses_bounds.npy"
IMAGE_FOLDERS = ("images", "images_2", "images_4", "images_8", ".")
COLUMNS = 17  # a 3 x 5 matrix row by row, then the nearest and the farthest depth


def read_llff(
    folder: Path, *, longest_side: int = LONGEST_SIDE, allow_outside: bool = False
) -> Capture:
    """Read images and ``poses_bounds.npy``; image i, in natural order of the names, has row i.

    A row is a matrix [3, 5] of the camera's axes down, right and backwards, its position, and
    (height, width, focal length) in pixels; then two depths, which are not used. Images are those
    of ``images``, or of ``images_4`` and the like where they were only kept smaller.

    Raises:
        InputError: Names the file, what is wrong with it, and what to do.
    """
    file = folder / POSES_BOUNDS
    matrices = read_table(file, COLUMNS)[:, :15].reshape(-1, 3, 5)
    root = next((folder / n for n in IMAGE_FOLDERS if _holds_images(folder / n)), folder)
    files = list_images(root)
    check_frames(len(files), file)
    check_inside(files, folder, allow_outside)
    if len(files) != len(matrices):
        raise InputError(
            f"{str(root)!r} has {len(files)} images but {POSES_BOUNDS} {len(matrices)} rows; there "
            "must be one row for each image, in natural order of the names"
        )
    reader = ImageReader(longest_side=longest_side)
    sizes = matrices[:, [1, 0], 4]
    pictures = []
    for number, (path, size) in enumerate(zip(files, sizes, strict=True)):
        if not (np.isfinite(matrices[number]).all() and (matrices[number, :, 4] > 0).all()):
            raise InputError(
                f"{str(file)!r}: row {number} holds numbers that are not finite, or a height, "
                "width or focal length that is not positive; write it again with imgs2poses.py"
            )
        picture = reader.measure(path, f"{file}, row {number}", tuple(size))
        height, width = picture.shape[:2]
        if not same_shape(tuple(size), (width, height)):
            raise InputError(
                f"{str(file)!r}: row {number} is of {size[0]:g} x {size[1]:g} pixels, but "
                f"{path.name} has {width} x {height}, another shape: images and rows do not belong "
                "together"
            )
        pictures.append(picture)
    names = [path.relative_to(folder).as_posix() for path in files]
    photographs, notes = with_mask_folder(
        LazyImages(reader, pictures), folder, names, allow_outside=allow_outside
    )
    intrinsics = np.tile(np.eye(3), (len(matrices), 1, 1))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = matrices[:, 2, 4] / sizes.T
    intrinsics[:, :2, 2] = 0.5
    try:
        cameras = Cameras(opengl_poses(matrices), intrinsics)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    order = f"images in natural order: {names[0]} is row 0"
    return Capture(
        folder, names, photographs, cameras, kind="llff", source=file,
        notes=(order, *notes, *reader.notes),
    )  # fmt: skip


def opengl_poses(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make OpenGL camera-to-world [V, 4, 4] of matrices [V, 3, 4|5]: down, right, back, place."""
    poses = np.tile(np.eye(4), (len(matrices), 1, 1))
    poses[:, :3, 0] = matrices[:, :, 1]
    poses[:, :3, 1] = -matrices[:, :, 0]
    poses[:, :3, 2:] = matrices[:, :, 2:4]
    return poses


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and bool(list_images(folder))
