"""Captures moved and scaled so that their object fills the cube."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.hull import FEWEST_VIEWS, nearest_to_rays, visual_hull
from geolrm.engine.captures.lazy_images import coarse_image, outline
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.similarity import apply, make_similarity, move_poses, turning
from geolrm.engine.views.silhouettes import (
    INSIDE,
    Silhouette,
    carve,
    explained,
    make_outline,
    posed,
    reduced,
)

FILL = 0.95  # longest side of the fitted object, in sides of the cube
MASK_SIDE = 256  # px
AGREEING_SIDE = 48  # px, so that a pixel is not smaller than a voxel of the hull
EXPLAINED = 0.75  # least share of a mask that the hull of all masks covers
MASKED = 0.8  # least share of views with a mask, for masks to tell where the object is
TOLERATED = (0.0, 0.1, 0.2)  # shares of the views that may be wrong about a place, tried in turn
NEAR = 0.6  # in median distances of the cameras: points beyond are background
FEWEST_POINTS = 10
COVERED = 0.7  # share of the hull's longest side from which points stand for the object
TRIM = 1.0  # percent of the points at either end of an axis that count as outliers
FEW = 5  # points at either end that count as outliers, where masks have sifted them already
LEAST_UPRIGHT = 0.2  # length of the cameras' mean up vector; below it there is no common up

WORSE = 0.25  # quantile of the shares of masks that the hull covers, for how well all agree

Box = tuple[NDArray[np.float64], NDArray[np.float64]]  # lowest and highest corner, [3] each
NO_POINTS = np.empty((0, 3))


def fit_to_cube(capture: Capture, *, upright: bool) -> Capture:
    """Move and scale a capture so that its object fills the cube.

    Where the images have masks, centre and size are those of the points inside all masks, or of
    the masks' visual hull; otherwise of the points near where the cameras look. The notes say
    which, and ``object_to_world`` leads back.

    Args:
        capture: Of any kind, wherever its object is.
        upright: Make the cameras' mean up z; otherwise z stays.

    Raises:
        InputError: Neither masks nor points tell where the object is.
    """
    notes, turn = [], np.eye(3)
    if upright:
        up = capture.cameras.c2w[:, :3, 1].mean(axis=0)
        length = float(np.linalg.norm(up))
        if length >= LEAST_UPRIGHT:
            turn = turning(up / length, np.array([0.0, 0.0, 1.0]))
            notes.append("z is the cameras' mean up")
        else:
            notes.append("the cameras have no common up; z was kept as it is")
    turned = move_poses(capture.cameras.c2w, make_similarity(1.0, turn, np.zeros(3)))
    points = (NO_POINTS if capture.points is None else capture.points) @ turn.T
    masks = _box_of_masks(capture, turned, points)
    box, basis = masks.box, masks.basis
    if box is None:
        notes += [basis] if basis else []
        box, basis = _box_of_points(points, turned, capture), "from the points"
    low, high = box
    side = float((high - low).max()) / FILL
    matrix = make_similarity(side, turn.T, turn.T @ ((low + high) / 2))
    centre = ", ".join(f"{value:.3g}" for value in matrix[:3, 3])
    notes.append(f"the object was centred from ({centre}) and scaled by {1 / side:.3g}, {basis}")
    to_object = np.linalg.inv(matrix).astype(np.float64)
    return replace(
        capture,
        cameras=Cameras(move_poses(capture.cameras.c2w, to_object), capture.cameras.intrinsics),
        points=None if capture.points is None else apply(to_object, capture.points),
        object_to_world=capture.object_to_world @ matrix,
        notes=(*capture.notes, *notes),
    )


def box_of_masks(capture: Capture) -> tuple[Box | None, float]:
    """Bound the object as its masks show it, in the frame of the poses; None where they do not.

    The second value is the share of the worse masks that the hull of all covers, none of which is
    taken for wrong.
    """
    found = _box_of_masks(capture, capture.cameras.c2w, NO_POINTS)
    return found.box, found.agreement


def _box_of_points(points: NDArray[np.float64], c2w: NDArray[np.float64], capture: Capture) -> Box:
    where = capture.source or capture.path
    remedy = "give images with alpha, masks, or remove the background (--remove-background)"
    if capture.points is None:
        raise InputError(
            f"{where} has no points, and its masks do not tell where the object is; {remedy}, and "
            "look at what geolrm check says"
        )
    origins = c2w[:, :3, 3]
    focus = nearest_to_rays(origins, -c2w[:, :3, 2])
    if focus is not None:
        reach = NEAR * float(np.median(np.linalg.norm(origins - focus, axis=1)))
        points = points[np.linalg.norm(points - focus, axis=1) <= reach]
    if len(points) < FEWEST_POINTS:
        raise InputError(
            f"{where} has {len(points)} points where its cameras look, too few to find the object "
            f"(at least {FEWEST_POINTS}); {remedy}"
        )
    low, high = np.percentile(points, [TRIM, 100 - TRIM], axis=0)
    if (high - low).max() <= 0:
        raise InputError(f"{where} has all its points in one place; {remedy}")
    return low, high


@dataclass(frozen=True, slots=True)
class _MaskedBox:
    """Where masks show the object."""

    box: Box | None
    basis: str  # what the box is from; without a box why there is none, if there is a reason
    agreement: float = 0.0  # share of the worse masks that the hull of all covers


def _box_of_masks(
    capture: Capture, c2w: NDArray[np.float64], points: NDArray[np.float64]
) -> _MaskedBox:
    """Bound the points that the masks leave, or else the visual hull, and say which it was.

    Close cameras leave a hull that is larger than the object, so points come first where they
    cover most of it. There is no box where few images have masks, or they agree on nothing.
    """
    views, origins = _masked_views(capture, c2w)
    total = len(capture)
    if len(views) < max(MASKED * total, 1):
        return _MaskedBox(
            None, "" if not views else f"only {len(views)} of {total} images have a mask"
        )
    found = _agreed_hull(views, origins)
    if found is None:
        return _MaskedBox(None, "the masks agree on no object; the points were used instead")
    hull, tolerated, agreement = found
    inside, shown = carve(views, points, tolerated)
    inside &= shown >= min(FEWEST_VIEWS, len(views))
    left = points[inside & ((points >= hull[0]) & (points <= hull[1])).all(axis=1)]
    disregarded = f" but, at any place, {tolerated}" if tolerated else ""
    if len(left) >= FEWEST_POINTS:
        # A share of all would be too many: few features lie on the smooth top of a head.
        trim = min(TRIM, 100 * FEW / len(left))
        low, high = np.percentile(left, [trim, 100 - trim], axis=0)
        if (high - low).max() >= COVERED * (hull[1] - hull[0]).max():
            basis = f"from the points inside all masks{disregarded}"
            return _MaskedBox((low, high), basis, agreement)
    return _MaskedBox(hull, f"from what the masks agree on{disregarded}", agreement)


def _masked_views(
    capture: Capture, c2w: NDArray[np.float64]
) -> tuple[list[Silhouette], NDArray[np.float64]]:
    """Make silhouettes of the views whose mask shows something; with their origins [V, 3]."""
    views, origins = [], []
    valid = capture.valid or [None] * len(capture)
    cameras = zip(c2w, capture.cameras.intrinsics, valid, strict=True)
    for index, (pose, matrix, known) in enumerate(cameras):
        found = outline(capture.images, index, MASK_SIDE)
        if found is not None:
            if known is not None:
                found = make_outline(coarse_image(capture.images, index), MASK_SIDE, known)
            view = posed(found, pose, matrix)
            if (view.alpha >= INSIDE).any():
                views.append(view)
                origins.append(pose[:3, 3])
    return views, np.array(origins).reshape(-1, 3)


def _agreed_hull(
    views: Sequence[Silhouette], origins: NDArray[np.float64]
) -> tuple[Box, int, float] | None:
    """Bound the hull that explains most masks, tolerating as few wrong views as that takes.

    A mask that misses something of the object carves it from all the others.

    Returns:
        The box, how many views may be wrong at any place, and the share of the worse masks that is
        explained where none may be; None where no hull explains enough.
    """
    agreement = 0.0
    for tolerated in sorted({int(share * len(views)) for share in TOLERATED}):
        found = visual_hull(views, origins, tolerated)
        if found is None:
            continue
        hull, half = found
        shares = [explained(reduced(view, AGREEING_SIDE), hull) for view in views]
        if not tolerated:
            agreement = float(np.quantile(shares, WORSE))
        if np.median(shares) >= EXPLAINED:
            return (hull.min(axis=0) - half, hull.max(axis=0) + half), tolerated, agreement
    return None
