"""Diagnostics of images and masks: backgrounds, cut objects, blur, size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.diagnostics.diagnostic import Diagnostic, name_views
from geolrm.engine.views.silhouettes import (
    INSIDE,
    Silhouette,
    border_share,
    has_mask,
    reduce_pixels,
)

FEWEST_PIXELS = 0.002  # least share of an image that shows an object
CUT = 0.02  # share of the border's pixels beyond which it cuts the object
FEWEST_SHARP = 4  # views whose sharpness is known, for one to be called blurred
SHARPNESS = 0.5  # least, in the views' median
COMPARED_SIDE = 256  # px
SOLID = 0.95  # alpha above which a pixel is the object's alone
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def diagnose_masks(images: Sequence[NDArray[np.uint8]]) -> list[Diagnostic]:
    """Find images [H, W, 3|4] whose object is not told from the background."""
    total, diagnostics = len(images), []
    opaque = [i for i, image in enumerate(images) if not has_mask(image)]
    if plain := [i for i in opaque if images[i].shape[2] == 3]:
        levels = [_border_level(images[i]) for i in plain]
        has = "has" if len(plain) == 1 else "have"
        diagnostics.append(
            Diagnostic(
                "masks",
                f"{name_views(plain, total)} {has} no alpha, and a background that is neither "
                f"white nor of one colour (border at {min(levels):.2f}, and it varies): give "
                "masks, or remove the background with --remove-background",
                tuple(plain),
            )
        )
    if filled := [i for i in opaque if images[i].shape[2] == 4]:
        has = "has" if len(filled) == 1 else "have"
        diagnostics.append(
            Diagnostic(
                "masks",
                f"{name_views(filled, total)} {has} an alpha that is opaque everywhere, so that "
                "the background counts as the object: save images with the background transparent",
                tuple(filled),
            )
        )
    return diagnostics


def diagnose_silhouettes(views: Sequence[Silhouette]) -> list[Diagnostic]:
    """Find masks that show no object, or one that the border cuts."""
    total, diagnostics = len(views), []
    empty = [i for i, view in enumerate(views) if (view.alpha >= INSIDE).mean() < FEWEST_PIXELS]
    if empty:
        show = "shows" if len(empty) == 1 else "show"
        remedy = "correct their masks, or leave them out, as geolrm run does"
        if len(empty) == total:  # of which no run can be made
            remedy = "make the masks again: the object must be opaque or white in them"
        diagnostics.append(
            Diagnostic(
                "masks",
                f"{name_views(empty, total)} {show} no object (less than {FEWEST_PIXELS:.1%} of "
                f"the pixels are not background), which empties the space that they see: {remedy}",
                tuple(empty),
            )
        )
    cut = [i for i, view in enumerate(views) if border_share(view) > CUT]
    if cut:
        worst = max(border_share(views[i]) for i in cut)
        diagnostics.append(
            Diagnostic(
                "masks",
                f"the object is cut by the border of {name_views(cut, total)} (up to {worst:.0%} "
                f"of the border's pixels, at most {CUT:.0%}): show it whole, or check the "
                "masks",
                tuple(cut),
            )
        )
    return diagnostics


def diagnose_sizes(images: Sequence[NDArray[np.uint8]], model_size: int) -> list[Diagnostic]:
    """Find images of fewer pixels than a model with inputs of ``model_size`` px can use."""
    total = len(images)
    small = [i for i, image in enumerate(images) if max(image.shape[:2]) < 0.5 * model_size]
    if not small:
        return []
    side = min(max(images[i].shape[:2]) for i in small)
    has = "has" if len(small) == 1 else "have"
    return [
        Diagnostic(
            "resolution",
            f"{name_views(small, total)} {has} only {side} px; the model reads {model_size}, "
            "and at least half as many are needed for detail: give larger images",
            tuple(small),
        )
    ]


def diagnose_sharpness(
    images: Sequence[NDArray[np.uint8]], views: Sequence[Silhouette]
) -> list[Diagnostic]:
    """Find images [H, W, 3|4] blurred beside the others; ``views`` are their masks."""
    total, pairs = len(images), list(zip(images, views, strict=True))
    sharpness = np.array([_sharpness(*pair) for pair in pairs])
    known = np.isfinite(sharpness)
    if known.sum() < FEWEST_SHARP:
        return []
    ratio = np.where(known, sharpness, np.inf) / np.median(sharpness[known])
    if not (blurred := np.flatnonzero(ratio < SHARPNESS)).size:
        return []
    return [
        Diagnostic(
            "sharpness",
            f"{name_views(blurred, total)} {'is' if len(blurred) == 1 else 'are'} blurred: "
            f"down to {ratio[blurred].min():.0%} of the usual sharpness (at least "
            f"{SHARPNESS:.0%}): leave them out, or take them again",
            tuple(int(i) for i in blurred),
        )
    ]


def _border_level(image: NDArray[np.uint8]) -> float:
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return float(np.median(border[:, :3])) / 255


def _sharpness(image: NDArray[np.uint8], view: Silhouette) -> float:
    """Return second over first differences of the object's luminance: contrast cancels."""
    factor = -(-max(image.shape[:2]) // max(view.alpha.shape))
    luminance = reduce_pixels(image[..., :3], factor) @ LUMINANCE
    solid = view.alpha > SOLID
    whole = solid[1:-1, 1:-1] & solid[:-2, 1:-1] & solid[2:, 1:-1]
    whole &= solid[1:-1, :-2] & solid[1:-1, 2:]
    if whole.sum() < 100:
        return np.nan
    second = (
        4 * luminance[1:-1, 1:-1]
        - luminance[:-2, 1:-1]
        - luminance[2:, 1:-1]
        - luminance[1:-1, :-2]
        - luminance[1:-1, 2:]
    )
    first = np.hypot(
        luminance[1:-1, 2:] - luminance[1:-1, :-2], luminance[2:, 1:-1] - luminance[:-2, 1:-1]
    )
    mean = float(first[whole].mean())
    return float(np.abs(second[whole]).mean()) / mean if mean > 1 else np.nan
