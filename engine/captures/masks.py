"""Masks as tools write them: black and white, two values, palettes, labels, cut-outs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_LABELS = 32  # values up to this are numbers of objects; levels of grey go far beyond


def mask_values(image: Any) -> tuple[NDArray[np.uint8], str]:
    """Read a mask from Pillow's image: [H, W], white for the object; and what was done to it.

    Where an alpha is not opaque everywhere, it is the mask. Of a palette of colours, what is not
    black is the object; of two values the higher one is; of labels, those above 0.

    Returns:
        The mask, and ``""``, ``"alpha"`` or ``"stretched"``.
    """
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() < 255:
            return alpha, "alpha"
    if image.mode == "P":
        return _of_palette(image)
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8) * np.uint8(255), ""
    if image.mode[0] in "IF":  # 16 bits and more
        levels = np.nan_to_num(np.asarray(image).astype(np.float64)).clip(0)
        top = levels.max(initial=0)
        return stretched(np.rint(levels * (255 / top if top > 255 else 1)).astype(np.uint8))
    if image.mode == "L":
        return stretched(np.asarray(image))
    # The brightest channel: painted masks are of any colour.
    return stretched(np.asarray(image.convert("RGB")).max(axis=2))


def stretched(mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """Make black and white of a mask of two values or of labels; and say whether that changed it.

    Returns:
        The mask, and ``"stretched"`` or ``""``.
    """
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    if not len(present) or (present[-1] in (0, 255) and len(present) != 2):
        return mask, ""
    if len(present) == 2:
        if tuple(present) == (0, 255):
            return mask, ""
        black = present[0]
    elif len(present) == 1 or present[-1] <= MOST_LABELS:
        black = 0
    else:
        return mask, ""
    return np.where(mask > black, np.uint8(255), np.uint8(0)), "stretched"


def seems_inverted(alpha: NDArray, least_hole: float = 0.5) -> bool:
    """Tell whether a mask [H, W] has the object at its border and not in the middle of it.

    ``least_hole`` is the share of the middle that has to be empty; where all masks of a capture
    are alike, a small object is enough.
    """
    solid = alpha >= (128 if alpha.dtype == np.uint8 else 0.5)
    border = np.concatenate([solid[0], solid[-1], solid[1:-1, 0], solid[1:-1, -1]])
    height, width = solid.shape
    middle = solid[height // 4 : -(-3 * height // 4), width // 4 : -(-3 * width // 4)]
    return bool(border.mean() > 0.95 and middle.mean() < 1 - least_hole)


def _of_palette(image: Any) -> tuple[NDArray[np.uint8], str]:
    index, colors = np.asarray(image), np.asarray(image.convert("RGB"))
    values, first = np.unique(index, return_index=True)
    used = colors.reshape(-1, 3)[first]
    if (used.max(axis=1) == used.min(axis=1)).all():  # shades of grey are a mask
        return stretched(colors[..., 0])
    black = values[~used.any(axis=1)]
    background = black if len(black) else np.zeros(1, index.dtype)
    return np.where(np.isin(index, background), np.uint8(0), np.uint8(255)), "stretched"
