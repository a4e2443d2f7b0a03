"""What of an image is the object: its alpha, or else what is not white from the border inwards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.system.user_warnings import warn

LARGEST_IMAGE_SIDE = 16384
WHITE_BACKGROUND = 0.985  # of all channels of a background pixel, where there is no alpha
NEARLY_WHITE = 0.85  # of all channels of a border; what is brighter is background too
UNIFORM = 0.7  # share of the border that has its colour, for the colour to be the background's
LOOSE, CLOSEST, FARTHEST = 0.06, 0.03, 0.08  # from a border's colour: looked at; a tolerance
SPREAD = 1.5  # times the spread of the border's colour is the tolerance


@dataclass(frozen=True, slots=True)
class Background:
    """The uniform background of an opaque image, as its border shows it."""

    color: NDArray[np.float32]  # [3], in [0, 1]
    tolerance: float  # largest difference of a channel

    @property
    def white(self) -> bool:
        """Tell whether it is the white that the model knows."""
        return float(self.color.min()) >= WHITE_BACKGROUND

    @property
    def name(self) -> str:
        """Name its colour, as ``(246, 246, 240)``."""
        return "(" + ", ".join(str(round(255 * float(value))) for value in self.color) + ")"

    def holds(self, rgb: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell which pixels [H, W] of an image [H, W, 3] have its colour."""
        if self.white:
            return rgb.min(axis=-1) >= WHITE_BACKGROUND
        if self.color.min() >= NEARLY_WHITE:
            return np.min(rgb - self.color, axis=-1) >= -np.float32(self.tolerance)
        return np.abs(rgb - self.color).max(axis=-1) <= np.float32(self.tolerance)


def find_background(image: NDArray) -> Background | None:
    """Find the uniform background of an opaque image, uint8 or float in [0, 1], [H, W, 3].

    It is what the median of the border is, if that is white, or if most of the border is like it.
    """
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])[:, :3]
    border = border.astype(np.float32)
    if image.dtype == np.uint8:
        border /= np.float32(255)
    color = np.median(border, axis=0).astype(np.float32)
    if color.min() >= WHITE_BACKGROUND:
        return Background(color, 1 - WHITE_BACKGROUND)
    off = np.abs(border - color).max(axis=1)
    if (off <= LOOSE).mean() < UNIFORM:
        return None
    spread = float(np.quantile(off[off <= LOOSE], 0.98))
    return Background(color, float(np.clip(SPREAD * spread, CLOSEST, FARTHEST)))


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
        background = find_background(pixels)
        if background is None:
            _warn_of_background(pixels, index)
            return pixels, alpha_from_white(pixels)
        opaque = alpha_from_background(pixels, background)
        if background.white:
            return pixels, opaque
        return np.where(opaque[..., None] > 0, pixels, np.float32(1)), opaque
    alpha = pixels[..., 3:]
    return (pixels[..., :3] * alpha + (1 - alpha)).astype(np.float32), alpha[..., 0]


def alpha_from_white(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the alpha [H, W], 0 or 1, of an object on white [H, W, 3].

    White that is connected to the border is background; white inside the object is not.
    """
    return _not_connected(rgb.min(axis=-1) >= WHITE_BACKGROUND)


def alpha_from_background(rgb: NDArray[np.float32], background: Background) -> NDArray[np.float32]:
    """Find the alpha [H, W], 0 or 1, of an object on a uniform background [H, W, 3].

    Its colour is background where it is connected to the border, not inside the object.
    """
    return _not_connected(background.holds(rgb))


def _not_connected(like: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return 0 where pixels [H, W] that are ``like`` the background reach the border, else 1."""
    white = np.pad(like, 1, constant_values=True)
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


def _warn_of_background(rgb: NDArray[np.float32], index: int) -> None:
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    warn(
        f"image {index} has no alpha and its border is neither white nor of one colour (median "
        f"{float(np.median(border)):.2f}); remove the background, or the result will be poor"
    )
