"""What of an image is the object: its alpha, or else what is not white from the border inwards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.system.user_warnings import warn

LARGEST_SIDE, MOST_PIXELS = 1 << 16, 1 << 27  # as of an image file
ENOUGH_PASSES = 8  # of filling by runs, in each of which a background turns a corner
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
    image = check_image(image, index)
    pixels: NDArray[np.float32]
    if image.dtype == np.uint8:
        pixels = image.astype(np.float32) / np.float32(255)
    else:
        pixels = np.moveaxis(image, 0, -1).astype(np.float32).clip(0, 1)
    if pixels.shape[2] == 3:
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


def check_image(image: NDArray, index: int = 0) -> NDArray:
    """Refuse what is no image, before memory is taken for it; arguments as :func:`split_alpha`.

    Raises:
        InputError: As :func:`split_alpha`.
    """
    image = np.asarray(image)
    if image.ndim != 3:
        raise InputError(
            f"image {index} has shape {image.shape}; it must be [H, W, 3|4] uint8 or [3|4, H, W] "
            "float"
        )
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise InputError(
            f"image {index} has dtype {image.dtype}; it must be uint8 or a float in [0, 1]"
        )
    if image.dtype != np.uint8 and image.size:
        low, high = image.min(), image.max()  # NaN, where there is one
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(f"image {index} holds NaN or infinity; every pixel must be finite")
        if low < -1e-3 or high > 1 + 1e-3:
            raise InputError(
                f"image {index} ranges from {low:g} to {high:g}; float images must be in [0, 1] "
                "(divide by 255)"
            )
    channels_last = image if image.dtype == np.uint8 else np.moveaxis(image, 0, -1)
    height, width, channels = channels_last.shape
    if channels not in (3, 4):
        layout = "[H, W, 3|4]" if image.dtype == np.uint8 else "[3|4, H, W]"
        raise InputError(
            f"image {index} has shape {image.shape}; {image.dtype} images must be {layout}"
        )
    if not 1 <= min(height, width) <= max(height, width) <= LARGEST_SIDE or (
        height * width > MOST_PIXELS
    ):
        raise InputError(
            f"image {index} is {width} x {height} pixels; sides must be 1 to {LARGEST_SIDE}, and "
            f"at most {MOST_PIXELS} pixels are taken: make it smaller"
        )
    return image


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
    for _ in range(ENOUGH_PASSES):
        if count == (count := np.count_nonzero(outside)):
            break
        outside = _fill_runs(white, outside)
        outside = _fill_runs(white.T, outside.T).T
    else:  # as in a maze
        outside = _joined_to_corner(white)
    return (~outside[1:-1, 1:-1]).astype(np.float32)


def _joined_to_corner(white: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the white pixels [H, W] that are connected to the first, by runs in rows.

    Runs that touch the runs of the next row are joined in all rows at once, and each follows its
    chain of smallest numbers in steps that double: as many rounds as the logarithm of the runs.
    """
    starts = white.copy()
    starts[:, 1:] &= ~white[:, :-1]
    run = np.cumsum(starts.ravel()).reshape(white.shape) - 1  # of white pixels, from 0
    touching = white[1:] & white[:-1]
    one, other = run[:-1][touching], run[1:][touching]
    changes = np.ones(len(one), bool)
    changes[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    one, other = one[changes], other[changes]
    lowest = np.arange(run[-1, -1] + 1)
    while True:
        a, b = lowest[one], lowest[other]
        apart = a != b
        if not apart.any():
            break
        one, other, a, b = one[apart], other[apart], a[apart], b[apart]
        np.minimum.at(lowest, np.maximum(a, b), np.minimum(a, b))
        while (further := lowest[lowest]).tobytes() != lowest.tobytes():
            lowest = further
    return white & (lowest[run] == lowest[run[0, 0]])


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
