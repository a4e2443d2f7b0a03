"""Which way is up, and where the first view of an object is taken from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians.extent import find_extent
from geolrm.engine.geometry.cameras import Cameras
from geolrm.viewer.exhibit import Exhibit

Up = Literal["z", "-z", "y", "-y"]

# From the object's frame to the displayed one, in which z is up: rotations [3, 3].
UP_AXES: dict[str, NDArray[np.float64]] = {
    "z": np.eye(3),
    "-z": np.diag([1.0, -1.0, -1.0]),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
FOV = 30.0  # degrees, of the shorter side of the window
ELEVATION = 18.0  # degrees
AZIMUTH = -60.0  # degrees, where no input view says which side is the front
ASIDE = 25.0  # degrees from the first input view, so that the object shows its depth


@dataclass(frozen=True, slots=True)
class Home:
    """A camera that looks at the middle of the object, in the displayed frame (z up)."""

    position: NDArray[np.float64]  # [3]
    target: NDArray[np.float64]  # [3]
    camera: Cameras  # the same camera in the object's frame, for a square image


def find_home(exhibit: Exhibit, up: Up) -> Home:
    """Find where the object fills the window, on the side of the first input view."""
    rotation = UP_AXES[up]
    extent = find_extent(exhibit.gaussians)
    middle = rotation @ extent.middle
    distance = extent.distance(FOV)
    azimuth = AZIMUTH
    if exhibit.views is not None and len(exhibit.views):
        backward = rotation @ exhibit.views.cameras.c2w[0, :3, 2]
        if np.hypot(backward[0], backward[1]) > 0.1:  # otherwise it looks along the vertical
            azimuth = float(np.rad2deg(np.arctan2(backward[1], backward[0]))) + ASIDE
    c2w = Cameras.orbit(azimuth, ELEVATION, distance, FOV).c2w[0]
    c2w[:3, 3] += middle
    to_object = np.eye(4)
    to_object[:3, :3] = rotation.T
    return Home(c2w[:3, 3], middle, Cameras.from_fov(to_object @ c2w, FOV))
