"""What is asked of cameras: finite, rigid, in the right units; outside the cube, looking at it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.errors import InputError

ROTATION_TOLERANCE = 1e-3
FARTHEST_CAMERA = 100.0  # cube sides
SMALLEST_NORMALISED_FOCAL = 0.005  # just under a field of view of 179 degrees
LARGEST_NORMALISED_FOCAL = 60.0  # just under a field of view of 1 degree; pixels are beyond
CUBE_RADIUS = 3**0.5 / 2  # bounding sphere of the object cube


def to_floats(name: str, value: ArrayLike | None) -> NDArray[np.float64]:
    """Copy a value into a float64 array, or refuse it by its ``name``."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} are not an array of numbers: {error}") from error
    return array


def _check_finite(name: str, matrices: NDArray) -> None:
    bad = np.flatnonzero(~np.isfinite(matrices).all(axis=tuple(range(1, matrices.ndim))))
    if bad.size:
        raise InputError(f"{name} {bad[0]} holds NaN or infinity; every entry must be finite")


def check_poses(c2w: NDArray, name: str = "pose") -> None:
    """Refuse matrices [V, 4, 4] that are not finite, not rigid, or mirrored.

    Raises:
        InputError: Names the first such matrix, as ``name`` and its number, and the remedy.
    """
    _check_finite(name, c2w)
    if _all_rigid(c2w):  # all at once; else one by one, for the sentence
        return
    for index, matrix in enumerate(c2w):
        if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
            raise InputError(
                f"{name} {index} has last row {_point(matrix[3])}; it must be (0, 0, 0, 1). "
                "Transpose matrices that are stored column by column"
            )
        rotation = matrix[:3, :3]
        error = np.abs(rotation.T @ rotation - np.eye(3)).max()
        if error > ROTATION_TOLERANCE:
            raise InputError(
                f"{name} {index} is no rigid motion: its rotation is off orthonormal by "
                f"{error:.3g} (at most {ROTATION_TOLERANCE}); remove scale or shear from the "
                "3x3 part"
            )
        if np.linalg.det(rotation) < 0:
            raise InputError(
                f"{name} {index} is mirrored (determinant -1); the 3x3 part must be a rotation: "
                "check which axes were flipped"
            )


def _all_rigid(c2w: NDArray) -> bool:
    """Tell whether all matrices [V, 4, 4] are rigid motions."""
    rotations = c2w[:, :3, :3]
    products = np.swapaxes(rotations, 1, 2) @ rotations
    return bool(
        np.allclose(c2w[:, 3], [0, 0, 0, 1], atol=1e-6)
        and (np.abs(products - np.eye(3)) <= ROTATION_TOLERANCE).all()
        and (np.linalg.det(rotations) >= 0).all()
    )


def check_intrinsics(intrinsics: NDArray) -> None:
    """Refuse intrinsics [V, 3, 3] that are in pixels, absurd, skewed, or not finite.

    Raises:
        InputError: Names the first such matrix and the remedy.
    """
    _check_finite("intrinsics", intrinsics)
    if _all_pinhole(intrinsics):  # all at once; else one by one, for the sentence
        return
    for index, matrix in enumerate(intrinsics):
        fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
        # One alone is large where an image is a narrow strip; pixels make both large.
        if min(fx, fy) > LARGEST_NORMALISED_FOCAL or max(abs(cx), abs(cy)) > 2:
            raise InputError(
                f"intrinsics {index} have fx = {fx:g}, cx = {cx:g}, which look like pixels; "
                "divide the first row by the image width and the second by its height, or use "
                "Cameras.from_opencv"
            )
        if min(fx, fy) < SMALLEST_NORMALISED_FOCAL:
            raise InputError(
                f"intrinsics {index} have fx = {fx:g}, fy = {fy:g}; focal lengths divided by the "
                f"image size must be {SMALLEST_NORMALISED_FOCAL} or more (0.5 / tan(fov / 2))"
            )
        skew = max(abs(matrix[0, 1]), abs(matrix[1, 0]))
        if skew > 1e-3 or not np.allclose(matrix[2], [0, 0, 1], atol=1e-6):
            raise InputError(
                f"intrinsics {index} have skew {skew:g} and last row {_point(matrix[2])}; "
                "only pinhole cameras without skew are supported: [[fx, 0, cx], [0, fy, cy], "
                "[0, 0, 1]]"
            )


def _all_pinhole(intrinsics: NDArray) -> bool:
    """Tell whether all matrices [V, 3, 3] are divided by the image size and without skew."""
    focal = intrinsics[:, [0, 1], [0, 1]].min(axis=1)
    off = np.abs(intrinsics[:, [0, 1, 0, 1], [2, 2, 1, 0]])  # centre, and skew
    return bool(
        ((focal >= SMALLEST_NORMALISED_FOCAL) & (focal <= LARGEST_NORMALISED_FOCAL)).all()
        and (off <= [2, 2, 1e-3, 1e-3]).all()
        and np.allclose(intrinsics[:, 2], [0, 0, 1], atol=1e-6)
    )


def facing_faults(c2w: NDArray[np.float64], intrinsics: NDArray[np.float64]) -> dict[int, str]:
    """Find the cameras that stand in the object cube, too far from it, or do not have it in view.

    Args:
        c2w: [V, 4, 4] OpenGL camera-to-world.
        intrinsics: [V, 3, 3], divided by the image size.

    Returns:
        For each such camera, by its index, a sentence with the likely mistake.
    """
    to_object = -np.einsum("vij,vi->vj", c2w[:, :3, :3], c2w[:, :3, 3])
    faults = {}
    for index, (x, y, z) in enumerate(to_object):
        distance = float(np.hypot(np.hypot(x, y), z))
        if np.abs(c2w[index, :3, 3]).max() < 0.5:
            faults[index] = (
                f"pose {index} stands at {_point(c2w[index, :3, 3])}, inside the object "
                "cube [-0.5, 0.5]^3; scale the scene so that the object fits the cube and the "
                "cameras stand outside"
            )
        elif distance > FARTHEST_CAMERA:
            faults[index] = (
                f"pose {index} stands {distance:.3g} away from the object; scale the scene so "
                f"that the object fills the cube [-0.5, 0.5]^3 (cameras at most "
                f"{FARTHEST_CAMERA:g} away)"
            )
        elif z >= 0 or not _shows_cube(intrinsics[index], x, y, -z):
            faults[index] = (
                f"pose {index} looks away from the object: the origin is {distance:.3g} away "
                f"and at {_point((x, y, z))} in camera axes (x right, y up, z backward), out "
                "of view; poses must be OpenGL camera-to-world looking along -z. If these are "
                "OpenCV poses, use Cameras.from_opencv"
            )
    return faults


def _shows_cube(intrinsics: NDArray[np.float64], x: float, y: float, depth: float) -> bool:
    """Tell whether the cube's bounding sphere, at (x, y, depth), reaches into the image."""
    (fx, _, cx), (_, fy, cy), _ = intrinsics
    for focal, centre, offset in ((fx, cx, x), (fy, cy, -y)):
        low, high = -centre / focal, (1 - centre) / focal  # tangents of the two border planes
        if offset - depth * low < -CUBE_RADIUS * np.hypot(1, low):
            return False
        if depth * high - offset < -CUBE_RADIUS * np.hypot(1, high):
            return False
    return True


def _point(values: ArrayLike) -> str:
    return "(" + ", ".join(f"{v:.3g}" for v in np.asarray(values, float)) + ")"
