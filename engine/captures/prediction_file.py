"""The .npz of a network that estimates cameras and depths of photographs: VGGT, Depth Anything 3.

Both write OpenCV world-to-camera matrices, intrinsics in pixels of the image that the network read,
a depth of each of its pixels along the camera's axis, and how far to trust that. The frame is any,
and so is its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.arrays import FLOATS, NUMBERS, Arrays, opened
from geolrm.engine.captures.capture import check_frames
from geolrm.engine.errors import InputError

# Names of the same array: of Depth Anything 3's files, of its documents, of VGGT.
EXTRINSICS = ("extrinsics", "exts", "extrinsic")
INTRINSICS = ("intrinsics", "ixts", "intrinsic")
IMAGES, DEPTHS, CONFIDENCES = ("image", "images"), ("depth",), ("conf", "depth_conf")
LARGEST_SHEAR = 0.05  # of a rotation that a network wrote in 16 bits
MOST_POINTS = 20_000
TRUSTED = 50.0  # percent of the pixels, the most confident ones


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a network says of V photographs."""

    world_to_camera: NDArray[np.float64]  # [V, 4, 4], OpenCV
    intrinsics: NDArray[np.float64]  # [V, 3, 3], pixels of the network's input
    size: tuple[int, int]  # width and height of the network's input
    images: NDArray[np.uint8] | None  # [V, H, W, 3] as the network read them
    points: NDArray[np.float64] | None  # [P, 3] of the depths, in the network's frame

    def __len__(self) -> int:
        return len(self.world_to_camera)


def read_prediction(path: Path) -> Prediction:
    """Read cameras, and what there is of images and depths.

    Arrays are ``extrinsics`` or ``extrinsic`` [V, 3|4, 4], ``intrinsics`` or ``intrinsic``
    [V, 3, 3], ``depth`` [V, H, W] or [V, H, W, 1], ``conf`` or ``depth_conf`` [V, H, W], ``image``
    [V, H, W, 3] or ``images`` [V, 3, H, W]; each may have a batch of one before it.

    Raises:
        InputError: Names the file, the array, and what it must be.
    """
    with opened(path) as arrays:
        poses = _read(arrays, EXTRINSICS, FLOATS, [(3, 4), (4, 4)])
        if poses is None:
            raise InputError(
                f"{str(path)!r} has no array 'extrinsics' or 'extrinsic'; give the .npz that Depth "
                "Anything 3 exports with its cameras, or VGGT's predictions.npz"
            )
        count = len(poses)
        intrinsics = _read(arrays, INTRINSICS, FLOATS, [(3, 3)], count)
        depths = _read(arrays, DEPTHS, FLOATS, [(None, None), (None, None, 1)], count)
        images = _read(arrays, IMAGES, NUMBERS, [(None, None, 3), (3, None, None)], count)
        if intrinsics is None or (depths is None and images is None):
            lacking = "'intrinsics'" if intrinsics is None else "'depth' nor an 'image'"
            raise InputError(
                f"{str(path)!r} has no array {lacking} beside its extrinsics; export it too, since "
                "intrinsics count pixels of what the network read"
            )
        depths = None if depths is None else depths.reshape(depths.shape[:3])
        pixels = None if images is None else _as_bytes(images)
        height, width = (pixels if depths is None else depths).shape[1:3]  # type: ignore[union-attr]
        if pixels is not None and pixels.shape[1:3] != (height, width):
            raise InputError(
                f"{str(path)!r} has images of {pixels.shape[2]} x {pixels.shape[1]} pixels but "
                f"depths of {width} x {height}; both must be of what the network read"
            )
        trust = (
            None if depths is None else _read(arrays, CONFIDENCES, FLOATS, [(None, None)], count)
        )
    world_to_camera = _rigid(poses, path)
    points = None
    if depths is not None:
        trust = trust if trust is not None and trust.shape == depths.shape else None
        points = unprojected(world_to_camera, intrinsics.astype(np.float64), depths, trust)
    return Prediction(
        world_to_camera, intrinsics.astype(np.float64), (width, height), pixels, points
    )


def unprojected(
    world_to_camera: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    depths: NDArray[np.floating],
    trust: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Place pixels in space, in the frame of the cameras: about 20,000 points [P, 3] at most.

    Args:
        world_to_camera: [V, 4, 4], OpenCV.
        intrinsics: [V, 3, 3], in pixels.
        depths: [V, H, W] along the cameras' axes; those that are not positive are left out.
        trust: [V, H, W]; the less trusted half of each view's pixels is left out.
    """
    count, height, width = depths.shape
    step = max(int(np.ceil(np.sqrt(count * height * width / MOST_POINTS))), 1)
    v, u = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    pixels = np.stack([u + 0.5, v + 0.5, np.ones(u.shape)], axis=-1).reshape(-1, 3)
    places = []
    with np.errstate(all="ignore"):  # an intrinsic matrix of anything; cameras are checked later
        for view in range(count):
            depth = depths[view, v, u].astype(np.float64).ravel()
            kept = np.isfinite(depth) & (depth > 0)
            if trust is not None:
                sure = trust[view, v, u].astype(np.float64).ravel()
                least = np.percentile(np.nan_to_num(sure), 100 - TRUSTED)
                kept &= (sure > least) | ~(sure > least).any()  # of a uniform trust, all
            (fx, _, cx), (_, fy, cy), _ = intrinsics[view]
            rays = (pixels - [cx, cy, 0]) / [fx, fy, 1]
            rotation, shift = world_to_camera[view, :3, :3], world_to_camera[view, :3, 3]
            places.append((rays[kept] * depth[kept, None] - shift) @ rotation)
    points = np.concatenate(places)
    return points[np.isfinite(points).all(axis=1)]


def _read(
    arrays: Arrays,
    names: Sequence[str],
    kinds: str,
    tails: Sequence[tuple[int | None, ...]],
    count: int | None = None,
) -> NDArray | None:
    """Read the first of the arrays that is there: [V, *tail], a batch of one before it taken off.

    Raises:
        InputError: Its shape is none of those, or it is of another number of views.
    """
    name = next((name for name in names if name in arrays), None)
    if name is None:
        return None
    wanted = " or ".join(f"[V, {', '.join(str(n or '...') for n in tail)}]" for tail in tails)

    def check(shape: tuple[int, ...], dtype: np.dtype) -> None:
        views = [s for s in (shape, shape[1:]) if any(_fits(s[1:], tail) for tail in tails)]
        if not views or (views[0] is not shape and shape[0] != 1) or 0 in shape:
            raise InputError(
                f"{str(arrays.path)!r}: {name} is {list(shape)}; it must be {wanted}, of one scene"
            )
        check_frames(views[0][0], arrays.path)
        if count is not None and views[0][0] != count:
            raise InputError(
                f"{str(arrays.path)!r}: {name} is of {views[0][0]} views, but the extrinsics of "
                f"{count}; all arrays must be of the same views"
            )

    array = arrays.read(name, kinds, check)
    return array if any(_fits(array.shape[1:], tail) for tail in tails) else array[0]


def _fits(shape: tuple[int, ...], tail: tuple[int | None, ...]) -> bool:
    return len(shape) == len(tail) and all(
        b is None or a == b for a, b in zip(shape, tail, strict=True)
    )


def _as_bytes(images: NDArray) -> NDArray[np.uint8]:
    """Make [V, H, W, 3] uint8 of that, or of [V, 3, H, W]; floats are from 0 to 1."""
    if images.shape[-1] != 3:
        images = np.moveaxis(images, 1, -1)
    if images.dtype.kind == "f":
        images = np.rint(np.clip(np.nan_to_num(images.astype(np.float32)), 0, 1) * 255)
    return np.ascontiguousarray(np.clip(images, 0, 255).astype(np.uint8))


def _rigid(poses: NDArray, path: Path) -> NDArray[np.float64]:
    """Make [V, 4, 4] whose rotations are the nearest ones to what a network wrote."""
    matrices = np.tile(np.eye(4), (len(poses), 1, 1))
    matrices[:, :3] = poses[:, :3]
    for view, matrix in enumerate(matrices):
        if not np.isfinite(matrix).all():
            raise InputError(
                f"{str(path)!r}: extrinsics of view {view} hold NaN or infinity; estimate them "
                "again"
            )
        left, stretch, right = np.linalg.svd(matrix[:3, :3])
        mirrors = np.linalg.det(left @ right) < 0
        if np.abs(stretch - 1).max() > LARGEST_SHEAR or mirrors:
            values = ", ".join(f"{value:.3g}" for value in stretch) + ", mirrored" * bool(mirrors)
            raise InputError(
                f"{str(path)!r}: extrinsics of view {view} are no rigid motion (singular values "
                f"{values}); they must be [R | t], world-to-camera"
            )
        matrix[:3, :3] = left @ right
    return matrices
