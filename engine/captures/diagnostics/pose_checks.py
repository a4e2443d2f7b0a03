"""Diagnostics of cameras alone: axes, where they look, repetitions, what no camera sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.diagnostics.conventions import (
    RULE,
    diagnose_convention,
    focus_of,
    rays,
)
from geolrm.engine.captures.diagnostics.diagnostic import Diagnostic, name_point, name_views
from geolrm.engine.geometry.camera_checks import CUBE_RADIUS, FARTHEST_CAMERA
from geolrm.engine.geometry.cameras import Cameras

MOST = 0.6  # share of faulty views from which the convention is wrong, not single poses
LEVEL = np.sin(np.deg2rad(20))  # how far a camera's x axis may leave the horizontal plane
CLEARER = 0.5  # share of z's deviation up to which another axis counts as up
FACED = np.cos(np.deg2rad(20))  # between where a camera looks and the common focus
FARTHEST_FOCUS = 0.35  # farthest that the common focus may be from the origin
FEWEST_VIEWS = 4
WIDEST_GAP = 150.0  # degrees of azimuth without a camera
POLAR = 75.0  # degrees of elevation; beyond it an azimuth says little
SAME_PLACE, SAME_TURN = 1e-3, 2e-3  # in median distances; in entries of a rotation
FOV_RANGE = 0.5, 1.5  # in fields of view of the model
SEEN = 0.8, 4.0  # what images show at the origin, in cube sides


def diagnose_poses(
    cameras: Cameras, model_fov: float, *, masked: bool = True, fitted: bool = False
) -> list[Diagnostic]:
    """Find what is doubtful about poses and intrinsics, the gravest first.

    Args:
        cameras: In the object frame, wherever they look.
        model_fov: Field of view that the model was trained with, in degrees.
        masked: Whether masks tell the object from its background, so that it can be fitted.
        fitted: Whether the capture was moved already, so that its poses are not the user's.
    """
    remedy = _Remedy(masked, fitted)
    facing = _facing(cameras, remedy)
    frame = facing if any(each.topic == "axes" for each in facing) else [
        *(facing or []), *diagnose_upright(cameras)
    ]  # fmt: skip
    if any(diagnostic.topic == "axes" for diagnostic in frame):  # the rest would follow from it
        return [*frame, *_few(cameras), *_fields(cameras, model_fov)]
    return [
        *frame,
        *([] if facing else _focus(cameras, remedy)),
        *_repeated(cameras),
        *(_few(cameras) or _one_sided(cameras)),
        *_fields(cameras, model_fov),
    ]


@dataclass(frozen=True, slots=True)
class _Remedy:
    """What a user can do about an object that is elsewhere."""

    masked: bool
    fitted: bool

    def move(self, focus: NDArray) -> str:
        if self.fitted and self.masked:
            return "look at the masks, by which it was fitted"
        if self.fitted:
            return "give masks, or --remove-background, so that it is fitted by them"
        if self.masked:
            return "give --fit, which finds it by its masks (geolrm run does so by itself)"
        return (
            f"move the poses by {name_point(-focus)} if it is there, or give masks or "
            "--remove-background, and --fit"
        )


def _facing(cameras: Cameras, remedy: _Remedy) -> list[Diagnostic]:
    total, faults = len(cameras), cameras.facing_faults()
    away = [index for index, text in faults.items() if "looks away" in text]
    if (found := diagnose_convention(cameras)) is not None:
        name, how = found
        views = away if len(away) >= MOST * total else range(total)
        return [
            Diagnostic(
                "axes",
                f"{name_views(views, total)} look away from the object, and would face it if these "
                f"were {name} poses; {RULE}: {how}",
                tuple(views),
            )
        ]
    if not faults:
        return []
    # Cameras that converge elsewhere are right, and the object is there.
    if elsewhere := _focus(cameras, remedy, faced=MOST, faults=faults):
        return elsewhere
    diagnostics = []
    if away:
        look = "looks" if len(away) == 1 else "look"
        diagnostics.append(
            Diagnostic(
                "looking away",
                f"{name_views(away, total)} {look} away from the cube, which must be in every "
                f"image; correct the pose, or leave "
                "the image out",
                tuple(away),
            )
        )
    for index in (others := [i for i in faults if i not in away])[:1]:
        more = f" (and {len(others) - 1} others alike)" if len(others) > 1 else ""
        diagnostics.append(Diagnostic("scale", faults[index] + more, tuple(others)))
    return diagnostics


def upright_warning(capture: Capture) -> str | None:
    """Say in one sentence that another axis than z is up; None where z is, or nothing can be said.

    Of captures whose poses are as a user gave them: others have an axis of their own.
    """
    if capture.kind not in ("transforms", "poses"):
        return None
    found = diagnose_upright(capture.cameras)
    return f"{found[0].text} (the result lies as the poses do)" if found else None


def diagnose_upright(cameras: Cameras) -> list[Diagnostic]:
    """Check that z is up; cameras are mostly held level, so the axis square to their x axes is."""
    right, up = cameras.c2w[:, :3, 0], cameras.c2w[:, :3, 1].mean(axis=0)
    off = float(np.sqrt((right[:, 2] ** 2).mean()))
    values, vectors = np.linalg.eigh(right.T @ right / len(right))
    axis = vectors[:, 0] * (1 if vectors[:, 0] @ up >= 0 else -1)
    if off <= LEVEL and up[2] >= -0.1:
        return []
    if off <= LEVEL:
        axis = np.array([0.0, 0.0, -1.0])
    elif np.sqrt(max(values[0], 0)) > CLEARER * off or values[1] < LEVEL**2:
        return []  # held at all angles, or from one side alone: nothing can be said
    largest = int(np.abs(axis).argmax())
    name = f"{'-' if axis[largest] < 0 else ''}{'xyz'[largest]}"
    near = abs(axis[largest]) > np.cos(np.deg2rad(15))
    turn = {
        "y": " by 90 degrees about x (x, y, z become x, -z, y)",
        "-z": " by 180 degrees about x",
    }
    how = turn.get(name, "") if near else ""
    shown = name if near else name_point(axis)
    return [
        Diagnostic(
            "axes",
            f"the cameras stand upright along {shown}, but z must be up; turn the poses{how}",
        )
    ]


def _focus(
    cameras: Cameras,
    remedy: _Remedy,
    faced: float = 0.0,
    faults: Mapping[int, str] = MappingProxyType({}),
) -> list[Diagnostic]:
    """Find a focus off the origin that at least a share ``faced`` of the cameras looks at.

    A camera of ``faults`` that does not look at that focus either is named, too.
    """
    c2w, intrinsics = cameras.c2w, cameras.intrinsics
    focus, ray = focus_of(c2w, intrinsics), rays(c2w, intrinsics)
    if focus is None:
        return []
    away = float(np.linalg.norm(focus))
    towards = focus - c2w[:, :3, 3]
    depths = np.linalg.norm(towards, axis=1)
    towards /= np.maximum(depths, 1e-9)[:, None]
    facing = np.einsum("vi,vi->v", ray, towards) > FACED
    if np.mean(facing) < faced:
        return []
    diagnostics = []
    usual = float(np.median(depths))
    if away > FARTHEST_FOCUS and usual > FARTHEST_CAMERA:
        diagnostics.append(
            Diagnostic(
                "scale",
                f"the cameras look at {name_point(focus)} from {usual:.3g} away, as if positions "
                f"were in millimetres or another small unit; the object must lie in "
                f"[-0.5, 0.5]^3: {remedy.move(focus)}",
            )
        )
    elif away > FARTHEST_FOCUS:
        diagnostics.append(
            Diagnostic(
                "scale",
                f"the cameras look at {name_point(focus)}, {away:.3g} from the origin; the object "
                f"must lie in [-0.5, 0.5]^3: {remedy.move(focus)}",
            )
        )
    else:
        return []
    if lost := [index for index in faults if not facing[index]]:
        look = "looks" if len(lost) == 1 else "look"
        diagnostics.append(
            Diagnostic(
                "looking away",
                f"{name_views(lost, len(cameras))} {look} away from {name_point(focus)}, where the "
                "others look; correct the pose, or leave the image out",
                tuple(lost),
            )
        )
    return diagnostics


def seen_width(cameras: Cameras) -> float:
    """Return how much images show across at the origin, in cube sides: the views' median."""
    depths = np.linalg.norm(cameras.c2w[:, :3, 3], axis=1)
    return float(np.median(depths / cameras.intrinsics[:, [0, 1], [0, 1]].max(axis=1)))


def diagnose_unmasked_scale(cameras: Cameras) -> list[Diagnostic]:
    """Check the cube's size in the images, where no masks show the object's."""
    width = seen_width(cameras)
    if SEEN[0] <= width <= SEEN[1]:
        return []
    rule = f"{SEEN[0]:g} to {SEEN[1]:g} is usual"
    if width > SEEN[1]:
        return [
            Diagnostic(
                "scale",
                f"images show {width:.3g} cube sides across at the origin ({rule}), so that an "
                f"object that fills them is larger than the cube: multiply the positions by about "
                f"{1.5 / width:.2g}",
            )
        ]
    return [
        Diagnostic(
            "scale",
            f"images show {width:.3g} of the cube's side at the origin ({rule}), so that the "
            f"object is much smaller than the cube: multiply the positions by about "
            f"{1.5 / width:.2g}",
        )
    ]


def _repeated(cameras: Cameras) -> list[Diagnostic]:
    c2w = cameras.c2w
    reach = SAME_PLACE * max(float(np.median(np.linalg.norm(c2w[:, :3, 3], axis=1))), CUBE_RADIUS)
    pairs = []
    for index in range(1, len(c2w)):
        near = np.linalg.norm(c2w[:index, :3, 3] - c2w[index, :3, 3], axis=1) <= reach
        turn = np.abs(c2w[:index, :3, :3] - c2w[index, :3, :3]).max(axis=(1, 2)) <= SAME_TURN
        if (same := np.flatnonzero(near & turn)).size:
            pairs.append((int(same[0]), index))
    if not pairs:
        return []
    shown = ", ".join(f"{a} and {b}" for a, b in pairs[:4])
    more = f" and {len(pairs) - 4} other pairs" if len(pairs) > 4 else ""
    return [
        Diagnostic(
            "poses",
            f"views {shown}{more} have the same pose; each image needs its own: leave repetitions "
            "out, or correct the poses",
            tuple(sorted({index for pair in pairs for index in pair})),
        )
    ]


def azimuth_gap(cameras: Cameras) -> tuple[float, float, float]:
    """Find the widest range of azimuths without a camera: (width, from, to) in degrees."""
    backward = cameras.c2w[:, :3, 2]
    elevations = np.rad2deg(np.arcsin(backward[:, 2].clip(-1, 1)))
    around = backward[np.abs(elevations) <= POLAR]
    azimuths = np.sort(np.rad2deg(np.arctan2(around[:, 1], around[:, 0])) % 360)
    if not len(azimuths):
        return 360.0, 0.0, 360.0
    gaps = np.diff([*azimuths, azimuths[0] + 360])
    widest = int(gaps.argmax())
    return float(gaps[widest]), float(azimuths[widest]), float(azimuths[widest] + gaps[widest])


def _few(cameras: Cameras) -> list[Diagnostic]:
    count = len(cameras)
    if count >= FEWEST_VIEWS:
        return []
    there = "there is 1 view" if count == 1 else f"there are {count} views"
    return [
        Diagnostic(
            "coverage",
            f"{there}; at least {FEWEST_VIEWS} from all around are needed, 6 to 12 are better: add "
            "some",
        )
    ]


def _one_sided(cameras: Cameras) -> list[Diagnostic]:
    gap, start, end = azimuth_gap(cameras)
    if gap <= WIDEST_GAP:
        return []
    return [
        Diagnostic(
            "coverage",
            f"no camera looks from azimuths between {start:.0f} and {end % 360:.0f} degrees, a gap "
            f"of {gap:.0f} (at most {WIDEST_GAP:.0f}), and what lies there will be made up: add "
            "views from that side",
        )
    ]


def _fields(cameras: Cameras, model_fov: float) -> list[Diagnostic]:
    # The model's square is as wide as the wider half of the image.
    half = np.maximum(cameras.intrinsics[:, :2, 2], 1 - cameras.intrinsics[:, :2, 2])
    tangents = (half / cameras.intrinsics[:, [0, 1], [0, 1]]).max(axis=1)
    fields = 2 * np.rad2deg(np.arctan(tangents))
    low, high = (factor * model_fov for factor in FOV_RANGE)
    off = np.flatnonzero((fields < low) | (fields > high))
    if not off.size:
        return []
    return [
        Diagnostic(
            "field of view",
            f"{name_views(off, len(cameras))} have a field of view of {fields[off].min():.3g}"
            + (f" to {fields[off].max():.3g}" if np.ptp(fields[off]) > 0.5 else "")
            + f" degrees, far from the model's {model_fov:g} ({low:g} to {high:g} is near "
            "enough): check that the focal length belongs to images of this size, or crop them "
            "and correct the principal point",
            tuple(int(i) for i in off),
        )
    ]
