"""Diagnostics of images and masks: backgrounds, cut objects, exposure, blur, size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.diagnostics.diagnostic import Diagnostic, name_views
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.silhouettes import (
    INSIDE,
    Silhouette,
    border_share,
    has_mask,
    reduce_pixels,
)

FEWEST_PIXELS = 0.002  # least share of an image that shows an object
CUT = 0.02  # share of the border's pixels beyond which it cuts the object
NEIGHBOURS = 4  # nearest views that brightness is compared with; fewest for sharpness
FARTHEST_NEIGHBOUR = np.cos(np.deg2rad(50))  # between the directions of neighbours
EXPOSURE = 0.4  # stops that points may be brighter or darker than in the views beside
UNMATCHED_EXPOSURE = 1.0  # stops, where it is not known which pixels correspond
SHARPNESS = 0.5  # least, in the views' median
QUANTILES = np.linspace(0.1, 0.9, 9)
COMPARED_SIDE = 256  # px
SOLID = 0.95  # alpha above which a pixel is the object's alone
FEWEST_COMPARED = 50  # pixels of the object, for its brightness to be known
DARKEST = 1e-3  # linear brightness below which only noise would be compared
BLOCK = 8  # px, in which the nearest point hides the others; smaller ones would hold no point
HIDDEN = 0.1  # a point so much farther than the nearest is hidden; in the object's depths
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
        diagnostics.append(
            Diagnostic(
                "masks",
                f"{name_views(empty, total)} {show} no object (less than {FEWEST_PIXELS:.1%} of "
                "the pixels are not background), which empties the space that they see: correct "
                "their masks, or leave them out, as geolrm run does",
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


def diagnose_quality(
    images: Sequence[NDArray[np.uint8]],
    views: Sequence[Silhouette],
    cameras: Cameras,
    surface: NDArray[np.float64] | None,
) -> list[Diagnostic]:
    """Compare the object's brightness with the neighbouring views', its sharpness with all.

    Args:
        images: V images [H, W, 3|4].
        views: Their V masks.
        cameras: Their V poses.
        surface: [N, 3] points of the object, where they are known: what turns into view then does
            not count as a change of brightness.
    """
    total, diagnostics = len(images), []
    pairs = list(zip(images, views, strict=True))
    if surface is None:
        levels = [_quantiles(*pair) for pair in pairs]
    else:
        levels = [_levels_at(surface, *pair) for pair in pairs]
    stops = _stops(np.array(levels), cameras)
    limit = UNMATCHED_EXPOSURE if surface is None else EXPOSURE
    if (off := np.flatnonzero(np.abs(stops) > limit)).size:
        worst = float(stops[off][np.abs(stops[off]).argmax()])
        differ = "differs" if off.size == 1 else "differ"
        way = "brighter" if worst > 0 else "darker"
        diagnostics.append(
            Diagnostic(
                "exposure",
                f"{name_views(off, total)} {differ} in brightness from the views beside by up to "
                f"{abs(worst):.2g} stops ({way}; at most {limit:g}): lock exposure and white "
                "balance, or match the images",
                tuple(int(i) for i in off),
            )
        )
    sharpness = np.array([_sharpness(*pair) for pair in pairs])
    known = np.isfinite(sharpness)
    if known.sum() >= NEIGHBOURS:
        ratio = np.where(known, sharpness, np.inf) / np.median(sharpness[known])
        if (blurred := np.flatnonzero(ratio < SHARPNESS)).size:
            diagnostics.append(
                Diagnostic(
                    "sharpness",
                    f"{name_views(blurred, total)} {'is' if len(blurred) == 1 else 'are'} blurred: "
                    f"down to {ratio[blurred].min():.0%} of the usual sharpness (at least "
                    f"{SHARPNESS:.0%}): leave them out, or take them again",
                    tuple(int(i) for i in blurred),
                )
            )
    return diagnostics


def _border_level(image: NDArray[np.uint8]) -> float:
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return float(np.median(border[:, :3])) / 255


def _linear_luminance(image: NDArray[np.uint8], view: Silhouette) -> NDArray[np.float32]:
    """Return the luminance [H, W] in linear light, at the size of the view's mask."""
    factor = -(-max(image.shape[:2]) // max(view.alpha.shape))
    linear = (reduce_pixels(image[..., :3], factor) / np.float32(255)) ** np.float32(2.2)
    return (linear @ LUMINANCE).astype(np.float32)


def _quantiles(image: NDArray[np.uint8], view: Silhouette) -> NDArray[np.float64]:
    """Return log2 of quantiles of the object's brightness; NaN where too little of it is seen."""
    values = _linear_luminance(image, view)[view.alpha > SOLID]
    if len(values) < FEWEST_COMPARED:
        return np.full(len(QUANTILES), np.nan)
    return np.log2(np.quantile(values, QUANTILES).clip(DARKEST))


def _levels_at(
    points: NDArray[np.float64], image: NDArray[np.uint8], view: Silhouette
) -> NDArray[np.float64]:
    """Return log2 of the brightness of points [N], NaN where others hide them or the view ends."""
    width = view.alpha.shape[1]
    pixel, depth = view.project(points)
    column, row = pixel % width // BLOCK, pixel // width // BLOCK
    block = row * (-(-width // BLOCK)) + column
    nearest = np.full(int(block.max(initial=0)) + 1, np.inf)
    shown = pixel >= 0
    np.minimum.at(nearest, block[shown], depth[shown])
    shown[shown] = depth[shown] <= nearest[block[shown]] + HIDDEN * np.ptp(depth)
    shown[shown] = view.alpha.ravel()[pixel[shown]] > SOLID
    levels = np.full(len(points), np.nan)
    values = _linear_luminance(image, view).ravel()[pixel[shown]]
    levels[shown] = np.log2(values.clip(DARKEST))
    return levels


def _stops(levels: NDArray[np.float64], cameras: Cameras) -> NDArray[np.float64]:
    """Compare each view's brightness with the views in the nearest directions, in stops [V].

    A view without neighbours to compare has 0.

    Args:
        levels: [V, N] log2 of the brightness of what corresponds, NaN where it is unknown.
        cameras: V, which say what is near.
    """
    directions = cameras.c2w[:, :3, 2]
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -2)
    stops = np.zeros(len(levels))
    for index, own in enumerate(levels):
        near = np.argsort(-cosines[index])[:NEIGHBOURS]
        near = near[cosines[index][near] >= FARTHEST_NEIGHBOUR]
        differences = [own - levels[other] for other in near]
        known = [d[np.isfinite(d)] for d in differences]
        medians = [np.median(d) for d in known if len(d) >= len(QUANTILES)]
        if len(medians) >= 2:  # their median leaves out a neighbour that is itself wrong
            stops[index] = np.median(medians)
    return stops


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
