"""Lens distortion, removed by pycolmap, which is the extra ``[colmap]``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.colmap_model import SparseCamera
from geolrm.engine.errors import InputError
from geolrm.engine.system.extras import require
from geolrm.engine.system.pycolmap_loading import load_pycolmap


def undistorted(
    image: NDArray[np.uint8], camera: SparseCamera, where: str
) -> tuple[NDArray[np.uint8], SparseCamera, NDArray[np.bool_] | None]:
    """Return the image [H, W, 3|4] as a pinhole camera would see it, and that camera.

    The third value is where the image is known [H, W], False where the lens showed nothing; None
    where all of it is.

    Raises:
        GeoLRMError: pycolmap is not installed.
        InputError: The distortion cannot be undone.
    """
    require(
        "pycolmap",
        f"{where} has lens distortion ({camera.model}), and correcting it",
        instead="undistort the images first (colmap image_undistorter)",
    )
    pycolmap = load_pycolmap()

    height, width = image.shape[:2]
    try:
        source = pycolmap.Camera(
            model=camera.model,
            width=camera.width,
            height=camera.height,
            params=list(camera.parameters),
        )
        source.rescale(width, height)
        options = pycolmap.UndistortCameraOptions()
        rgb, target = _undistort(pycolmap, options, image[..., :3], source)
        everywhere = np.full((height, width), 255, np.uint8)
        shown, _ = _undistort(pycolmap, options, everywhere, source)
        pixels = rgb
        if image.shape[2] == 4:
            alpha, _ = _undistort(pycolmap, options, image[..., 3], source)
            pixels = np.dstack([rgb, alpha])
        fx, fy = target.focal_length_x, target.focal_length_y
        cx, cy = target.principal_point_x, target.principal_point_y
    except Exception as error:  # pybind11 raises what C++ throws
        raise InputError(
            f"{where} has lens distortion ({camera.model}) that cannot be undone: "
            f"{str(error)[:120]}; undistort the images with COLMAP, or calibrate again"
        ) from error
    pinhole = SparseCamera("PINHOLE", target.width, target.height, (fx, fy, cx, cy))
    return pixels, pinhole, None if shown.all() else shown > 0


def valid_masks(
    masks: Sequence[NDArray[np.bool_] | None],
) -> list[NDArray[np.bool_] | None] | None:
    """Return what a capture says of these masks: None where every image is known whole."""
    return None if all(mask is None for mask in masks) else list(masks)


def distortion_note(count: int) -> list[str]:
    """Say that the lens distortion of so many images was removed; of none, say nothing."""
    return [f"images whose lens distortion was removed: {count}"] if count else []


def _undistort(pycolmap: Any, options: Any, pixels: NDArray[np.uint8], camera: Any):
    bitmap = pycolmap.Bitmap.from_array(np.ascontiguousarray(pixels))
    result, target = pycolmap.undistort_image(options, bitmap, camera)
    return np.asarray(result.to_array(), dtype=np.uint8), target
