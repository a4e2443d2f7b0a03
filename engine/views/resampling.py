"""Images of any pinhole camera as squares with a centred principal point and fx = fy."""

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

LARGEST_CANVAS = 1 << 28  # pixels of a padded image
LARGEST_PADDING = 4  # longer side of a padded image, in that of the image


def resample_to_square(
    rgb: NDArray[np.float32], intrinsics: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float32], float]:
    """Resample an image [H, W, C] to the square [C, size, size] around its principal point.

    The square is as wide as the widest half of the image, so that nothing is cropped; what lies
    outside the image is 1, the value of its background.

    Args:
        rgb: The image, every channel in [0, 1].
        intrinsics: [3, 3], divided by the image size.
        size: Side of the square in pixels.

    Returns:
        The square, and its focal length divided by ``size``.

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
        return np.ascontiguousarray(rgb.transpose(2, 0, 1)), 0.5 / half
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
    return _resize(rgb, padding, box, size), 0.5 / half


def _resize(
    rgb: NDArray[np.float32],
    padding: tuple[tuple[int, int], tuple[int, int]],
    box: tuple[float, float, float, float],
    size: int,
) -> NDArray[np.float32]:
    """Pad with 1, then resize by Pillow's antialiased bicubic (Keys, a = -0.5), in float32."""
    from PIL import Image

    square = np.empty((rgb.shape[-1], size, size), np.float32)
    for channel in range(len(square)):
        plane = np.pad(rgb[..., channel], padding, constant_values=1)
        resized = Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC, box=box)
        square[channel] = np.asarray(resized)
    return square.clip(0, 1)
