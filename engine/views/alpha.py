"""What of an image is the object: its alpha, or else what is not white from the border inwards."""

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.system.user_warnings import warn

LARGEST_IMAGE_SIDE = 16384
WHITE_BACKGROUND = 0.985  # of all channels of a background pixel, where there is no alpha
WHITE_ENOUGH = 0.9  # median colour of the border of an opaque image


def composite_on_white(image: NDArray, index: int = 0) -> NDArray[np.float32]:
    """Composite an image on white: uint8 [H, W, 3|4] or float [3|4, H, W] to float32 [H, W, 3].

    ``index`` is the image's number in errors and warnings.

    Raises:
        InputError: As :func:`split_alpha`.
    """
    return split_alpha(image, index)[0]


def split_alpha(image: NDArray, index: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Composite an image on white, and tell what of it is the object.

    Args:
        image: uint8 [H, W, 3|4] or float [3|4, H, W] in [0, 1].
        index: Its number, for errors and warnings.

    Returns:
        float32 colours [H, W, 3] and alpha [H, W]; without an alpha channel it is taken from the
        white.

    Raises:
        InputError: The image has another shape, type or range, NaN, or no pixels or too many.
    """
    image = np.asarray(image)
    pixels: NDArray[np.float32]
    if image.ndim != 3:
        raise InputError(
            f"image {index} has shape {image.shape}; it must be [H, W, 3|4] uint8 or [3|4, H, W] "
            "float"
        )
    if image.dtype == np.uint8:
        pixels = image.astype(np.float32) / np.float32(255)
    elif image.dtype.kind == "f":
        pixels = np.moveaxis(image, 0, -1).astype(np.float32)
        if not np.isfinite(pixels).all():
            raise InputError(f"image {index} holds NaN or infinity; every pixel must be finite")
        if pixels.size and (pixels.min() < -1e-3 or pixels.max() > 1 + 1e-3):
            raise InputError(
                f"image {index} ranges from {pixels.min():g} to {pixels.max():g}; float images "
                "must be in [0, 1] (divide by 255)"
            )
        pixels = pixels.clip(0, 1).astype(np.float32)
    else:
        raise InputError(
            f"image {index} has dtype {image.dtype}; it must be uint8 or a float in [0, 1]"
        )
    height, width, channels = pixels.shape
    if channels not in (3, 4):
        layout = "[H, W, 3|4]" if image.dtype == np.uint8 else "[3|4, H, W]"
        raise InputError(
            f"image {index} has shape {image.shape}; {image.dtype} images must be {layout}"
        )
    if height == 0 or width == 0 or max(height, width) > LARGEST_IMAGE_SIDE:
        raise InputError(
            f"image {index} is {width} x {height} pixels; sides must be 1 to {LARGEST_IMAGE_SIDE}"
        )
    if channels == 3:
        _check_background(pixels, index)
        return pixels, alpha_from_white(pixels)
    alpha = pixels[..., 3:]
    return (pixels[..., :3] * alpha + (1 - alpha)).astype(np.float32), alpha[..., 0]


def alpha_from_white(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the alpha [H, W], 0 or 1, of an object on white [H, W, 3].

    White that is connected to the border is background; white inside the object is not.
    """
    white = np.pad(rgb.min(axis=-1) >= WHITE_BACKGROUND, 1, constant_values=True)
    outside = np.zeros_like(white)
    outside[0] = True
    count = 0
    while count != (count := np.count_nonzero(outside)):
        outside = _fill_runs(white, outside)
        outside = _fill_runs(white.T, outside.T).T
    return (~outside[1:-1, 1:-1]).astype(np.float32)


def _fill_runs(white: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the whole horizontal runs of white pixels that hold a seed."""
    runs = np.cumsum(~white, axis=1) + np.arange(len(white))[:, None] * (white.shape[1] + 1)
    hit = np.zeros(runs.max() + 1, bool)
    hit[runs[seeds & white]] = True
    return white & hit[runs]


def _check_background(rgb: NDArray[np.float32], index: int) -> None:
    """Warn of an opaque image whose border is not white: the model knows no other background."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    if float(np.median(border)) < WHITE_ENOUGH:
        warn(
            f"image {index} has no alpha and its border is not white (median "
            f"{float(np.median(border)):.2f}); remove the background, or the result will be poor"
        )
