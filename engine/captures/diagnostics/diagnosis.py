"""Diagnose a capture: everything doubtful about it, and what its masks leave of space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.diagnostics.conventions import diagnose_agreement
from geolrm.engine.captures.diagnostics.diagnostic import Diagnostic, name_point, name_views
from geolrm.engine.captures.diagnostics.exposure_checks import color_stops, diagnose_exposure
from geolrm.engine.captures.diagnostics.image_checks import (
    COMPARED_SIDE,
    diagnose_masks,
    diagnose_sharpness,
    diagnose_silhouettes,
    diagnose_sizes,
)
from geolrm.engine.captures.diagnostics.pose_checks import (
    WIDEST_GAP,
    azimuth_gap,
    diagnose_poses,
    diagnose_unmasked_scale,
)
from geolrm.engine.captures.fitting import AGREEING_SIDE, EXPLAINED, FILL
from geolrm.engine.captures.hull import FEWEST_VIEWS, visual_hull
from geolrm.engine.views.silhouettes import (
    INSIDE,
    Silhouette,
    carve,
    explained,
    has_mask,
    make_silhouette,
    reduced,
)

MILLIMETRES = 20.0, 5000.0  # longest sides of objects on a table, in units of the poses
OUTSIDE = 0.1  # cube sides that a hull may reach beyond the cube; it is larger than its object
SMALLEST = 0.5  # least longest side of the object, in sides of the cube


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """What is doubtful about a capture, the gravest first, and what it shows of its object."""

    diagnostics: tuple[Diagnostic, ...]
    surface: NDArray[np.float64] | None  # [N, 3] of what all masks leave, object frame
    stops: NDArray[np.float64] | None = None  # [V, 4] luminance, R, G, B against the views beside

    @property
    def doubtful_views(self) -> set[int]:
        """Return the views that a diagnostic names; one of the whole capture names none."""
        return {view for diagnostic in self.diagnostics for view in diagnostic.views}

    @property
    def count(self) -> str:
        """Say how many there are, as ``geolrm check`` does: ``no doubts``, ``1 doubt``."""
        count = len(self.diagnostics)
        return "no doubts" if not count else f"{count} doubt{'' if count == 1 else 's'}"


def diagnose(capture: Capture, model_fov: float = 50.0, model_size: int = 224) -> Diagnosis:
    """Look for what spoils reconstructions.

    Args:
        capture: As read by :func:`~geolrm.engine.captures.read_capture`: cameras may look anywhere.
        model_fov: Field of view that the model was trained with, in degrees.
        model_size: Side of the model's input in pixels.
    """
    cameras, images = capture.cameras, capture.images
    fitted = bool(np.any(capture.object_to_world != np.eye(4)))
    masked = all(has_mask(image) for image in images)
    poses = diagnose_poses(cameras, model_fov, masked=masked, fitted=fitted)
    lost = any(each.topic in ("axes", "looking away") and each.views for each in poses)
    masks = diagnose_masks(images)
    valid = capture.valid or [None] * len(capture)
    views = [
        make_silhouette(image, pose, matrix, COMPARED_SIDE, known)
        for image, pose, matrix, known in zip(
            images, cameras.c2w, cameras.intrinsics, valid, strict=True
        )
    ]
    outlines, scale, hull, step = [], [], None, 0.0
    if masked:
        outlines = diagnose_silhouettes(views)
        if not lost and len(capture) > 1:
            found = visual_hull(views, cameras.c2w[:, :3, 3])
            hull, step = (None, 0.0) if found is None else (found[0], 2 * found[1])
            empty = {i for each in outlines if "no object" in each.text for i in each.views}
            repeated = any("the same pose" in each.text for each in poses)
            if not empty and not repeated:
                scale = _agreement(capture, views, hull)
            if hull is not None and not scale:
                scale = _extent(capture, hull, step)
    elif not lost and all(each.topic != "scale" for each in poses):
        scale = diagnose_unmasked_scale(cameras)
    if any(each.topic == "scale" for each in scale):
        # The hull says where the object is; where the cameras look says it less well.
        poses = [each for each in poses if each.topic != "scale"]
    if any("agree on no object" in each.text for each in scale):
        # No fit finds it before the poses are mended.
        poses = [each for each in poses if "--fit" not in each.text]
    surface = None if hull is None else surface_of(hull, step)
    quality, stops = diagnose_sizes(images, model_size), None
    if not lost:
        stops = color_stops(images, views, cameras, surface)
        quality += diagnose_exposure(stops, matched=surface is not None)
        quality += diagnose_sharpness(images, views)
    return Diagnosis((*poses, *scale, *masks, *outlines, *quality), surface, stops)


def surface_of(hull: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Keep the points [N, 3] of a grid of this ``step`` that lack one of their six neighbours."""
    index = np.rint((hull - hull.min(axis=0)) / step).astype(np.int64) + 1
    solid = np.zeros(index.max(axis=0) + 2, np.bool_)
    solid[tuple(index.T)] = True
    inner = solid.copy()
    for axis in range(3):
        inner &= np.roll(solid, 1, axis) & np.roll(solid, -1, axis)
    return hull[~inner[tuple(index.T)]]


def _agreement(
    capture: Capture, outlines: list[Silhouette], hull: NDArray[np.float64] | None
) -> list[Diagnostic]:
    """Check that masks outline one object: what all of them leave must fill each."""
    total, cameras = len(capture), capture.cameras
    remedy = (
        "check that images and poses belong together and are in the same order, and the focal "
        "length"
    )
    views = [reduced(view, AGREEING_SIDE) for view in outlines]
    if any(image.shape[2] == 3 for image in capture.images):
        return _white_agreement(views, hull)
    if (other := diagnose_agreement(capture)) is not None:
        return [other]
    if hull is None:
        return [Diagnostic("poses", f"the masks of all {total} views agree on no object; {remedy}")]
    shares = np.array([explained(view, hull) for view in views])
    if not (off := np.flatnonzero(shares < EXPLAINED)).size:
        return []
    # One wrong view carves the others' object away; without it they agree.
    if off.size > 1 and total > 3 and (alone := _culprit(views, cameras.c2w[:, :3, 3])) is not None:
        off = np.array([alone])
    return [
        Diagnostic(
            "poses",
            f"{name_views(off, total)} show{'s' if off.size == 1 else ''} an object where the "
            f"other masks leave nothing (only {shares[off].min():.0%} of the outline is explained, "
            f"at least {EXPLAINED:.0%}); {remedy}",
            tuple(int(i) for i in off),
        )
    ]


def _white_agreement(views: list[Silhouette], hull: NDArray[np.float64] | None) -> list[Diagnostic]:
    """Check outlines found from a white background, which fail where the object itself is white."""
    worst = 0.0 if hull is None else min(explained(view, hull) for view in views)
    if worst >= EXPLAINED:
        return []
    return [
        Diagnostic(
            "masks",
            f"the outlines on the white background do not agree (only {worst:.0%} of one is "
            f"explained by the others, at least {EXPLAINED:.0%}): white parts of the object count "
            "as background, or poses are wrong; give images with alpha, or check the poses",
        )
    ]


def _culprit(views: list[Silhouette], origins: NDArray[np.float64]) -> int | None:
    """Find the one view, if any, without which the others agree: it carves the most away."""
    found = visual_hull(views, origins)
    if found is None or len(views) > 64:
        return None
    centre, radius = found[0].mean(axis=0), 1.5 * max(float(np.ptp(found[0])), 8 * found[1])
    axis = (np.arange(32) + 0.5) / 32 * 2 - 1
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    points = centre + radius * points
    votes = np.zeros(len(points), np.int64)
    outside = []
    for view in views:
        pixel, _ = view.project(points)
        out = (pixel >= 0) & (view.alpha.ravel()[pixel] < INSIDE)
        outside.append(out)
        votes += out
    alone = np.array([np.count_nonzero(out & (votes == 1)) for out in outside])
    worst = int(alone.argmax())
    others = [view for index, view in enumerate(views) if index != worst]
    rest, shown = carve(others, points)
    kept = points[rest & (shown >= min(FEWEST_VIEWS, len(others)))]
    if not len(kept):
        return None
    again = visual_hull(others, np.delete(origins, worst, axis=0))
    if again is None or min(explained(view, again[0]) for view in others) < EXPLAINED:
        return None
    return worst


def _extent(capture: Capture, hull: NDArray[np.float64], step: float) -> list[Diagnostic]:
    """Check that the object lies in the cube and fills most of it."""
    low, high = hull.min(axis=0) - step / 2, hull.max(axis=0) + step / 2
    side, centre = float((high - low).max()), (low + high) / 2
    if np.any(capture.object_to_world != np.eye(4)):
        remedy = "it was fitted, so that some masks or poses contradict the others: correct those"
    else:
        remedy = (
            f"move the poses by {name_point(-centre)}, then multiply positions by "
            f"{FILL / side:.3g}, or give --fit, which does both (geolrm run does by itself)"
        )
        if MILLIMETRES[0] <= side <= MILLIMETRES[1]:
            remedy = f"the poses may be in millimetres; {remedy}"
    box = f"{name_point(low)} to {name_point(high)}"
    beyond = max(float(-low.min()), float(high.max())) - 0.5
    # Seen from one side alone, the hull is longer than the object.
    if beyond > OUTSIDE + step / 2 and azimuth_gap(capture.cameras)[0] <= WIDEST_GAP:
        return [
            Diagnostic(
                "scale",
                f"by its masks the object reaches from {box}, {beyond:.2g} beyond the cube "
                f"[-0.5, 0.5]^3, where it is cut off: {remedy}",
            )
        ]
    if side < SMALLEST:
        return [
            Diagnostic(
                "scale",
                f"by its masks the object reaches from {box}, {side:.2g} of the cube's side; at "
                f"least {SMALLEST:g} is needed for detail: {remedy}",
            )
        ]
    return []
