"""Diagnostics of exposure and white balance: each view's colours beside its neighbours'."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.diagnostics.diagnostic import Diagnostic, name_views
from geolrm.engine.captures.diagnostics.image_checks import LUMINANCE, SOLID
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.silhouettes import Silhouette, reduce_pixels

NEIGHBOURS = 4  # nearest views that colours are compared with
FARTHEST_NEIGHBOUR = np.cos(np.deg2rad(50))  # between the directions of neighbours
EXPOSURE = 0.4  # stops that points may be brighter or darker than in the views beside
UNMATCHED_EXPOSURE = 1.0  # stops, where it is not known which pixels correspond
BALANCE = 0.3  # stops that a channel may be off, beyond what all three are
QUANTILES = np.linspace(0.1, 0.9, 9)
FEWEST_COMPARED = 50  # pixels of the object, for its brightness to be known
DARKEST = 1e-3  # linear brightness below which only noise would be compared
GAMMA = 2.2  # of images, to linear light
BLOCK = 8  # px, in which the nearest point hides the others; smaller ones would hold no point
HIDDEN = 0.1  # a point so much farther than the nearest is hidden; in the object's depths
CHANNELS = ("red", "green", "blue")


def diagnose_exposure(stops: NDArray[np.float64], *, matched: bool) -> list[Diagnostic]:
    """Find views of another brightness or white balance than the views beside them.

    Args:
        stops: [V, 4], of :func:`color_stops`.
        matched: Whether they compare the same points.
    """
    brightness, channels = stops[:, 0], stops[:, 1:]
    total, diagnostics = len(stops), []
    limit = EXPOSURE if matched else UNMATCHED_EXPOSURE
    if (off := np.flatnonzero(np.abs(brightness) > limit)).size:
        worst = float(brightness[off][np.abs(brightness[off]).argmax()])
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
    cast = channels - channels.mean(axis=1, keepdims=True)
    strongest = np.abs(cast).max(axis=1)
    if matched and (off := np.flatnonzero(strongest > BALANCE)).size:
        worst = int(off[strongest[off].argmax()])
        of = "" if off.size == 1 else f" of view {worst}"
        parts = " and ".join(
            f"{name} {value:+.1f}"
            for name, value in zip(CHANNELS, cast[worst], strict=True)
            if abs(value) > BALANCE / 2
        )
        differ = "differs" if off.size == 1 else "differ"
        diagnostics.append(
            Diagnostic(
                "white balance",
                f"{name_views(off, total)} {differ} in colour from the views beside (the "
                f"channels{of} by {parts} stops; at most {BALANCE:g}): lock the white balance, or "
                "match the images; a run corrects what it finds of it, and says by how much",
                tuple(int(i) for i in off),
            )
        )
    return diagnostics


def color_stops(
    images: Sequence[NDArray[np.uint8]],
    views: Sequence[Silhouette],
    cameras: Cameras,
    surface: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Compare each view with those beside it: [V, 4] stops of brightness, red, green and blue.

    Args:
        images: V images [H, W, 3|4].
        views: Their V masks.
        cameras: Their V poses.
        surface: [N, 3] points of the object, where they are known: what turns into view then does
            not count as a change of colour.
    """
    pairs = zip(images, views, strict=True)
    if surface is None:
        levels = [_quantiles(*pair) for pair in pairs]
    else:
        levels = [_levels_at(surface, *pair) for pair in pairs]
    return _stops(np.array(levels), cameras)


def grey_gains(stops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what would take each view's RGB to its neighbours': [V, 3], of image values."""
    return 2 ** (-stops[:, 1:] / GAMMA)


def _linear(image: NDArray[np.uint8], view: Silhouette) -> NDArray[np.float32]:
    """Return luminance, red, green and blue [H, W, 4] in linear light, at the mask's size."""
    factor = -(-max(image.shape[:2]) // max(view.alpha.shape))
    linear = (reduce_pixels(image[..., :3], factor) / np.float32(255)) ** np.float32(GAMMA)
    return np.concatenate([(linear @ LUMINANCE)[..., None], linear], axis=-1).astype(np.float32)


def _quantiles(image: NDArray[np.uint8], view: Silhouette) -> NDArray[np.float64]:
    """Return log2 of quantiles [Q, 4] of the object's colours; NaN where too little is seen."""
    values = _linear(image, view)[view.alpha > SOLID]
    if len(values) < FEWEST_COMPARED:
        return np.full((len(QUANTILES), 4), np.nan)
    return np.log2(np.quantile(values, QUANTILES, axis=0).clip(DARKEST))


def _levels_at(
    points: NDArray[np.float64], image: NDArray[np.uint8], view: Silhouette
) -> NDArray[np.float64]:
    """Return log2 of the colours of points [N, 4], NaN where others hide them or the view ends."""
    width = view.alpha.shape[1]
    pixel, depth = view.project(points)
    column, row = pixel % width // BLOCK, pixel // width // BLOCK
    block = row * (-(-width // BLOCK)) + column
    nearest = np.full(int(block.max(initial=0)) + 1, np.inf)
    shown = pixel >= 0
    np.minimum.at(nearest, block[shown], depth[shown])
    shown[shown] = depth[shown] <= nearest[block[shown]] + HIDDEN * np.ptp(depth)
    shown[shown] = view.alpha.ravel()[pixel[shown]] > SOLID
    levels = np.full((len(points), 4), np.nan)
    values = _linear(image, view).reshape(-1, 4)[pixel[shown]]
    levels[shown] = np.log2(values.clip(DARKEST))
    return levels


def _stops(levels: NDArray[np.float64], cameras: Cameras) -> NDArray[np.float64]:
    """Compare each view's levels with the views in the nearest directions, in stops [V, C].

    A view without neighbours to compare has 0.

    Args:
        levels: [V, N, C] log2 of the values of what corresponds, NaN where it is unknown.
        cameras: V, which say what is near.
    """
    directions = cameras.c2w[:, :3, 2]
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -2)
    stops = np.zeros((len(levels), levels.shape[2]))
    for index, own in enumerate(levels):
        near = np.argsort(-cosines[index])[:NEIGHBOURS]
        near = near[cosines[index][near] >= FARTHEST_NEIGHBOUR]
        differences = [own - levels[other] for other in near]
        known = [d[np.isfinite(d).all(axis=1)] for d in differences]
        medians = [np.median(d, axis=0) for d in known if len(d) >= len(QUANTILES)]
        if len(medians) >= 2:  # their median leaves out a neighbour that is itself wrong
            stops[index] = np.median(medians, axis=0)
    return stops
