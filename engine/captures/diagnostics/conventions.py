"""Conventions that poses may be in by mistake, tested around where cameras look or masks agree."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.diagnostics.diagnostic import Diagnostic
from geolrm.engine.captures.fitting import AGREEING_SIDE, EXPLAINED, WORSE
from geolrm.engine.captures.hull import nearest_to_rays, visual_hull
from geolrm.engine.captures.images import natural_order
from geolrm.engine.captures.lazy_images import coarse_image
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.camera_checks import check_poses
from geolrm.engine.geometry.cameras import FLIP_YZ, Cameras
from geolrm.engine.views.silhouettes import (
    Silhouette,
    explained,
    has_mask,
    make_silhouette,
    reduced,
)

FACED = np.cos(np.deg2rad(25))  # between where a camera looks and the common focus
MOST = 0.6  # share of the views that must look at the focus under the right convention
SPREAD = 0.15  # least smaller eigenvalue share of the viewing directions: they must not be alike
COMPARED_SIDE = 128  # px, of outlines
CLEARLY, BETTER = 0.85, 0.15  # share of outlines explained by a convention that is claimed
TESTED_VIEWS = 12  # whose masks are compared under each convention
RULE = "they must be OpenGL camera-to-world (x right, y up, looking along -z)"


def focus_of(c2w: NDArray[np.float64], intrinsics: NDArray[np.float64]) -> NDArray | None:
    """Find the point [3] that is nearest to what V cameras have in the middle of their images."""
    return nearest_to_rays(c2w[:, :3, 3], rays(c2w, intrinsics)) if len(c2w) > 1 else None


def rays(c2w: NDArray[np.float64], intrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit directions [V, 3] through the middle of the images."""
    centre = (0.5 - intrinsics[:, [0, 1], 2]) / intrinsics[:, [0, 1], [0, 1]] * [1, -1]
    ray = np.concatenate([centre, -np.ones((len(c2w), 1))], axis=1)
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    return np.einsum("vij,vj->vi", c2w[:, :3, :3], ray)


def share_facing(c2w: NDArray[np.float64], intrinsics: NDArray[np.float64]) -> float:
    """Return the share of the cameras that look at their common focus; 0 where there is none.

    There is none where they all look the same way, or stand in the focus themselves.
    """
    focus, ray = focus_of(c2w, intrinsics), rays(c2w, intrinsics)
    if focus is None or np.linalg.eigvalsh(ray.T @ ray / len(ray))[1] < SPREAD / 3:
        return 0.0
    towards = focus - c2w[:, :3, 3]
    distances = np.linalg.norm(towards, axis=1)
    usual = float(np.median(distances))
    if usual < 0.2 * float(np.median(np.linalg.norm(ray - ray.mean(axis=0), axis=1))) * max(
        float(np.linalg.norm(np.ptp(c2w[:, :3, 3], axis=0))), 1e-9
    ):
        return 0.0
    cosines = np.einsum("vi,vi->v", ray, towards) / np.maximum(distances, 1e-9)
    return float(np.mean(cosines > FACED))


def _readings(c2w: NDArray[np.float64]) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """Yield what poses may be instead, how to mend them, and the poses as they then are."""
    inverse = np.linalg.inv(c2w).astype(np.float64)
    yield (
        "OpenCV camera-to-world",
        "negate columns 1 and 2 of the 3x3 part (y and z)",
        c2w @ FLIP_YZ,
    )
    yield "OpenGL world-to-camera", "invert the matrices", inverse
    yield (
        "OpenCV world-to-camera",
        "invert the matrices, then negate columns 1 and 2 (y and z)",
        inverse @ FLIP_YZ,
    )
    turned = c2w.copy()
    turned[:, :3, :3] = np.swapaxes(c2w[:, :3, :3], 1, 2)
    yield "transposed", "transpose the 3x3 part", turned
    yield (
        "transposed OpenCV",
        "transpose the 3x3 part, then negate columns 1 and 2 (y and z)",
        turned @ FLIP_YZ,
    )


def diagnose_convention(cameras: Cameras) -> tuple[str, str] | None:
    """Tell in which other convention the cameras would look at one place, and how to mend that.

    None where they do as they are, or in no convention.
    """
    c2w, intrinsics = cameras.c2w, cameras.intrinsics
    if len(c2w) < 3 or share_facing(c2w, intrinsics) >= MOST:
        return None
    shares = [
        (share_facing(poses, intrinsics), -order, name, remedy)
        for order, (name, remedy, poses) in enumerate(_readings(c2w))
    ]
    share, _, name, remedy = max(shares)
    return (name, remedy) if share > 1 - MOST / 2 else None


def diagnose_agreement(capture: Capture) -> Diagnostic | None:
    """Tell under which convention masks agree on an object that they do not agree on as they are.

    None where they agree, where they do under no other convention, or where there are none.
    """
    total = len(capture)
    chosen = capture.cameras.spread(min(TESTED_VIEWS, total))
    images = [coarse_image(capture.images, index) for index in chosen]
    if total < 4 or not all(has_mask(image) for image in images):
        return None
    c2w, intrinsics = capture.cameras.c2w, capture.cameras.intrinsics[chosen]
    views = [
        make_silhouette(image, c2w[index], matrix, COMPARED_SIDE)
        for image, index, matrix in zip(images, chosen, intrinsics, strict=True)
    ]
    share = _agreement(views, c2w[chosen])
    if share >= EXPLAINED:
        return None
    enough = max(CLEARLY, share + BETTER)
    for name, remedy, poses in _readings(c2w[chosen]):
        if _agreement(views, poses) >= enough:
            return Diagnostic(
                "axes",
                f"the masks agree on no object, and would if these were {name} poses; {RULE}: "
                f"{remedy}",
            )
    orders = [
        (_agreement(views, c2w[order][chosen]), -number, how)
        for number, (how, order) in enumerate(_orders(capture.names))
    ]
    share, _, how = max(orders)
    if share >= enough:
        return Diagnostic(
            "poses",
            f"the masks agree on no object, and would if poses and images were matched {how}: "
            "put them in the same order",
        )
    return None


def convention_warning(capture: Capture, faulty: Collection[int] = ()) -> str | None:
    """Say in one sentence that poses are probably in another convention; None where they are not.

    ``faulty`` views say nothing. Captures of COLMAP and others with one convention are not tested.
    """
    if capture.kind not in ("transforms", "poses"):
        return None
    sound = [index for index in range(len(capture)) if index not in faulty]
    found = diagnose_agreement(capture.subset(sound))
    return None if found is None else f"{found.text} (geolrm check draws them)"


def _agreement(views: Sequence[Silhouette], poses: NDArray[np.float64]) -> float:
    """Return the share of the worse outlines that the hull of all covers under these poses."""
    try:
        check_poses(poses)
    except InputError:
        return 0.0
    w2c = np.linalg.inv(poses @ FLIP_YZ)
    posed = [replace(view, w2c=matrix) for view, matrix in zip(views, w2c, strict=True)]
    found = visual_hull(posed, poses[:, :3, 3])
    if found is None:
        return 0.0
    shares = [explained(reduced(view, AGREEING_SIDE), found[0]) for view in posed]
    return float(np.quantile(shares, WORSE))


def _orders(names: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Yield orders in which poses may have been written: pose ``order[i]`` is image i's."""
    total = len(names)
    yield "in reverse", list(range(total))[::-1]
    natural = sorted(range(total), key=lambda i: natural_order(names[i]))
    plain = sorted(range(total), key=lambda i: names[i])
    if natural != plain:
        for how, of, to in (
            ("in the order of sorted() (1, 10, 2)", natural, plain),
            ("in natural order (1, 2, 10)", plain, natural),
        ):
            order = [0] * total
            for image, pose in zip(to, of, strict=True):
                order[image] = pose
            yield how, order
    yield "one place later", [(i + 1) % total for i in range(total)]
    yield "one place earlier", [(i - 1) % total for i in range(total)]
