"""Cameras: one convention inside, conversions and checks at the edge."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.camera_checks import (
    check_intrinsics,
    check_poses,
    facing_faults,
    to_floats,
)

Orbit = Literal["sv3d", "zero123plus"]
ORBIT_RADIUS = 1.5  # cube sides, of the image generators' cameras
SV3D_FRAMES, SV3D_ELEVATION, SV3D_FOV = 21, 10.0, 39.6  # degrees
ZERO123PLUS_ELEVATIONS, ZERO123PLUS_FOV = (20.0, -10.0), 30.0  # degrees, in turn
GOLDEN_ANGLE = 180 * (3 - 5**0.5)  # degrees
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV camera axes to OpenGL, and back


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """V pinhole cameras in the object frame (z up, object in [-0.5, 0.5]^3).

    ``c2w`` is OpenGL camera-to-world: columns x right, y up, z backward, position.
    ``intrinsics`` are ``[[fx/W, 0, cx/W], [0, fy/H, cy/H], [0, 0, 1]]``.

    Raises:
        InputError: A value is not finite, a rotation is not orthonormal or is mirrored, or
            intrinsics are not divided by the image size.
    """

    c2w: NDArray[np.float64]  # [V, 4, 4]
    intrinsics: NDArray[np.float64]  # [V, 3, 3]

    def __post_init__(self) -> None:
        c2w = to_floats("poses", self.c2w)
        if c2w.ndim == 2:
            c2w = c2w[None]
        if c2w.ndim != 3 or c2w.shape[1:] != (4, 4):
            raise InputError(
                f"poses have shape {c2w.shape}; they must be [V, 4, 4] camera-to-world matrices"
            )
        intrinsics = to_floats("intrinsics", self.intrinsics)
        if intrinsics.shape == (3, 3):
            intrinsics = np.broadcast_to(intrinsics, (len(c2w), 3, 3)).copy()
        if intrinsics.shape != (len(c2w), 3, 3):
            raise InputError(
                f"intrinsics have shape {intrinsics.shape}; they must be [3, 3] or "
                f"[{len(c2w)}, 3, 3] for {len(c2w)} poses"
            )
        check_poses(c2w)
        check_intrinsics(intrinsics)
        object.__setattr__(self, "c2w", c2w)
        object.__setattr__(self, "intrinsics", intrinsics)

    def __len__(self) -> int:
        return len(self.c2w)

    def __getitem__(self, index: slice | list[int] | NDArray) -> "Cameras":
        return Cameras(self.c2w[index], self.intrinsics[index])

    def __repr__(self) -> str:
        return f"Cameras({len(self)})"

    @staticmethod
    def from_fov(c2w: ArrayLike, fov: float) -> "Cameras":
        """Make cameras of square images with a centred principal point.

        Args:
            c2w: [4, 4] or [V, 4, 4] OpenGL camera-to-world.
            fov: Field of view in degrees.
        """
        return Cameras(np.asarray(c2w), intrinsics_from_fov(fov))

    @staticmethod
    def from_opencv(
        *,
        world_to_camera: ArrayLike | None = None,
        camera_to_world: ArrayLike | None = None,
        intrinsics: ArrayLike,
        size: tuple[int, int],
    ) -> "Cameras":
        """Convert OpenCV extrinsics (x right, y down, z forward) and intrinsics in pixels.

        Args:
            world_to_camera: [V, 3|4, 4]; give this or ``camera_to_world``.
            camera_to_world: [V, 3|4, 4].
            intrinsics: [3, 3] or [V, 3, 3], in pixels.
            size: (width, height) of the images in pixels.

        Raises:
            InputError: Not exactly one of the extrinsics is given, or a value cannot be used.
        """
        if (world_to_camera is None) == (camera_to_world is None):
            raise InputError("give either world_to_camera or camera_to_world, and not both")
        given = world_to_camera if camera_to_world is None else camera_to_world
        matrices = to_floats("extrinsics", given)
        matrices = matrices[None] if matrices.ndim == 2 else matrices
        if matrices.ndim != 3 or matrices.shape[1:] not in ((3, 4), (4, 4)):
            raise InputError(
                f"extrinsics have shape {matrices.shape}; they must be [V, 3, 4] or [V, 4, 4]"
            )
        if matrices.shape[1] == 3:
            last = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(matrices), 1, 4))
            matrices = np.concatenate([matrices, last], axis=1)
        if camera_to_world is None:
            check_poses(matrices, "extrinsics")
            matrices = np.linalg.inv(matrices).astype(np.float64)
        try:
            width, height = (float(side) for side in size)
        except (TypeError, ValueError):
            width = height = 0.0
        if not (0 < width < 1e6 and 0 < height < 1e6):
            raise InputError(f"size is {size!r}; it must be (width, height) in pixels")
        pixels = to_floats("intrinsics", intrinsics)
        if pixels.shape[-2:] != (3, 3):
            raise InputError(
                f"intrinsics have shape {pixels.shape}; they must be [3, 3] or [V, 3, 3]"
            )
        longest = pixels[..., 0, 0].max(initial=0)
        if longest <= 10 and longest < 0.1 * width:  # in pixels, views wider than 157 degrees
            raise InputError(
                f"intrinsics have fx = {pixels[..., 0, 0].max():g}, but from_opencv expects "
                "pixels; pass normalised intrinsics to Cameras(c2w, intrinsics) instead"
            )
        scale = np.array([[1 / width], [1 / height], [1.0]])
        return Cameras(matrices @ FLIP_YZ, pixels * scale)

    @staticmethod
    def from_orbit(
        preset: Orbit, *, radius: float = ORBIT_RADIUS, fov: float | None = None
    ) -> "Cameras":
        """Make the cameras of an image generator that GeoLRM is used with.

        ``sv3d``: 21 views, azimuth i * 360 / 21, elevation 10, field of view 39.6 degrees.
        ``zero123plus``: 6 views, azimuth 30 + 60 i, elevation 20 and -10, 30 degrees.
        """
        if preset == "sv3d":
            azimuths, elevations = np.arange(SV3D_FRAMES) * (360 / SV3D_FRAMES), SV3D_ELEVATION
            default_fov = SV3D_FOV
        elif preset == "zero123plus":
            azimuths, elevations = 30 + 60.0 * np.arange(6), np.tile(ZERO123PLUS_ELEVATIONS, 3)
            default_fov = ZERO123PLUS_FOV
        else:
            raise InputError(f"orbit is {preset!r}; it must be 'sv3d' or 'zero123plus'")
        return Cameras.orbit(azimuths, elevations, radius, default_fov if fov is None else fov)

    @staticmethod
    def orbit(azimuths: ArrayLike, elevations: ArrayLike, radius: float, fov: float) -> "Cameras":
        """Make cameras on a sphere that look at the origin, z up.

        Args:
            azimuths: [V] in degrees, or one for all; 0 stands on +x, 90 on +y.
            elevations: [V] in degrees, or one for all; above 0 stands above the object.
            radius: Distance from the origin, in cube sides.
            fov: Field of view in degrees.
        """
        try:
            azimuth, elevation = np.broadcast_arrays(
                np.deg2rad(np.atleast_1d(np.asarray(azimuths, float))),
                np.deg2rad(np.atleast_1d(np.asarray(elevations, float))),
            )
        except (TypeError, ValueError) as error:
            raise InputError(
                "azimuths and elevations must be numbers in degrees, one per view or one for all: "
                f"{error}"
            ) from error
        ring = np.cos(elevation)
        backward = np.stack(
            [ring * np.cos(azimuth), ring * np.sin(azimuth), np.sin(elevation)], axis=-1
        )
        right = np.stack([-np.sin(azimuth), np.cos(azimuth), np.zeros_like(azimuth)], axis=-1)
        c2w = np.tile(np.eye(4), (len(azimuth), 1, 1))
        c2w[:, :3, 0] = right
        c2w[:, :3, 1] = np.cross(backward, right)
        c2w[:, :3, 2] = backward
        c2w[:, :3, 3] = radius * backward
        return Cameras.from_fov(c2w, fov)

    @staticmethod
    def around(count: int, distance: float, fov: float) -> "Cameras":
        """Spread cameras evenly over the whole sphere, on a Fibonacci spiral from above to below.

        All look at the origin from ``distance``; ``fov`` in degrees.
        """
        steps = np.arange(count)
        elevations = np.rad2deg(np.arcsin(1 - (2 * steps + 1) / count))
        return Cameras.orbit(steps * GOLDEN_ANGLE % 360, elevations, distance, fov)

    @property
    def world_to_camera(self) -> NDArray[np.float64]:
        """Return OpenCV extrinsics [V, 4, 4] (x right, y down, z forward)."""
        return np.linalg.inv(self.c2w @ FLIP_YZ).astype(np.float64)

    def spread(self, count: int) -> list[int]:
        """Choose ``count`` cameras spread evenly over the viewing directions, by ascending index.

        The first camera is taken, then each time the one farthest in angle from those taken.

        Raises:
            InputError: There are fewer cameras.
        """
        if count > len(self):
            raise InputError(f"{count} views were asked for, but there are only {len(self)}")
        directions = self.c2w[:, :3, 2]
        taken = [0][:count]
        nearest = directions @ directions[0]  # cosine to the closest camera taken so far
        while len(taken) < count:
            nearest[taken] = np.inf
            taken.append(int(np.argmin(nearest)))
            nearest = np.maximum(nearest, directions @ directions[taken[-1]])
        return sorted(taken)

    def check_facing(self) -> None:
        """Refuse cameras in the object cube, too far from it, or without it in view.

        Raises:
            InputError: Names the first such camera, and the likely mistake.
        """
        for text in self.facing_faults().values():
            raise InputError(text)

    def facing_faults(self) -> dict[int, str]:
        """Find what :meth:`check_facing` refuses: by camera, a sentence with the likely mistake."""
        return facing_faults(self.c2w, self.intrinsics)


def intrinsics_from_fov(fov: float) -> NDArray[np.float64]:
    """Return the intrinsics [3, 3] of a square image, divided by its size; ``fov`` in degrees."""
    number = isinstance(fov, int | float | np.number) and not isinstance(fov, bool)
    if not number or not 1 <= fov < 179:
        raise InputError(f"fov is {fov!r}; it must be in degrees, from 1 to 179")
    focal = 0.5 / np.tan(np.deg2rad(fov) / 2)
    return np.array([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])
