"""Images of any pinhole camera as squares with a centred principal point and fx = fy.

What lies outside the image, or is marked as not known, takes no part in any average.
"""

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

LARGEST_CANVAS = 1 << 28  # pixels of a padded image
LARGEST_PADDING = 4  # longer side of a padded image, in that of the image
KNOWN = 0.5  # share of a pixel's weights on what is known, from which it is known


def resample_to_square(
    rgb: NDArray[np.float32],
    intrinsics: NDArray[np.float64],
    size: int,
    valid: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], float, NDArray[np.bool_] | None]:
    """Resample an image [H, W, C] to the square [C, size, size] around its principal point.

    The square is as wide as the widest half of the image, so that nothing is cropped. A pixel
    averages what is known, and is known itself where that makes up half of it; elsewhere it is 1,
    the value of the background.

    Args:
        rgb: The image, every channel in [0, 1].
        intrinsics: [3, 3], divided by the image size.
        size: Side of the square in pixels.
        valid: [H, W], False where nothing is known of the image; None: all of it is known.

    Returns:
        The square; its focal length divided by ``size``; and where it is known [size, size], or
        None where that is everywhere.

    Raises:
        InputError: The square would be mostly padding.
    """
    height, width = rgb.shape[:2]
    fx, fy = intrinsics[0, 0] * width, intrinsics[1, 1] * height
    cx, cy = intrinsics[0, 2] * width, intrinsics[1, 2] * height
    # Tangents of the view to each side of the principal point; the widest one sets the square.
    tangents = np.array([cx / fx, (width - cx) / fx, cy / fy, (height - cy) / fy])
    half = float(tangents.max())
    left, right = cx - half * fx, cx + half * fx
    top, bottom = cy - half * fy, cy + half * fy
    exact = np.allclose([left, top, right, bottom], [0, 0, width, height], atol=1e-3)
    if exact and height == width == size:
        square = np.ascontiguousarray(rgb.transpose(2, 0, 1))
        if valid is None or valid.all():
            return square, 0.5 / half, None
        return np.where(valid, square, np.float32(1)), 0.5 / half, valid
    pad_left, pad_top = max(0, int(np.ceil(-left - 1e-3))), max(0, int(np.ceil(-top - 1e-3)))
    pad_right = max(0, int(np.ceil(right - width - 1e-3)))
    pad_bottom = max(0, int(np.ceil(bottom - height - 1e-3)))
    canvas_width, canvas_height = width + pad_left + pad_right, height + pad_top + pad_bottom
    wide = max(canvas_width, canvas_height) > LARGEST_PADDING * max(width, height)
    if wide or canvas_width * canvas_height > LARGEST_CANVAS:
        raise InputError(
            f"an image of {width} x {height} pixels with principal point ({cx:g}, {cy:g}) and "
            f"focal lengths ({fx:g}, {fy:g}) would become a square of {canvas_width} x "
            f"{canvas_height} pixels, mostly padding; check its intrinsics, or crop it"
        )
    padding = ((pad_top, pad_bottom), (pad_left, pad_right))
    box = (
        max(left + pad_left, 0.0),
        max(top + pad_top, 0.0),
        min(right + pad_left, canvas_width),
        min(bottom + pad_top, canvas_height),
    )
    if valid is not None and valid.all():
        valid = None
    if valid is None and not np.any(padding):
        return _resize(rgb, box, size).clip(0, 1), 0.5 / half, None
    shown = np.ones((height, width), np.float32) if valid is None else valid.astype(np.float32)
    share = _resize(np.pad(shown, padding)[..., None], box, size)[0]
    known = share >= KNOWN
    # What pixels lack to 1: it is 0 where nothing is known, so that sums leave that out.
    lacking = _resize(np.pad((1 - rgb) * shown[..., None], (*padding, (0, 0))), box, size)
    square = 1 - np.where(known, lacking / np.maximum(share, KNOWN), 0).clip(0, 1)
    return square.astype(np.float32), 0.5 / half, None if known.all() else known


def _resize(
    planes: NDArray[np.float32], box: tuple[float, float, float, float], size: int
) -> NDArray[np.float32]:
    """Resize [H, W, C] by Pillow's antialiased bicubic (Keys, a = -0.5), in float32."""
    from PIL import Image

    square = np.empty((planes.shape[-1], size, size), np.float32)
    for channel in range(len(square)):
        plane = Image.fromarray(np.ascontiguousarray(planes[..., channel]))
        resized = plane.resize((size, size), Image.Resampling.BICUBIC, box=box)
        square[channel] = np.asarray(resized)
    return square
