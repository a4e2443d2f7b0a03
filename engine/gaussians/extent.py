"""Where the seen splats of a scene lie: what a view of all of it looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussian_arrays import GaussianArrays

SEEN = 0.1  # splats below this opacity do not count for the size of an object
OUTLIERS = 0.1  # percent of the splats that the size may leave out
MARGIN = 1.15  # of the radius, left around the object
LEAST_RADIUS = 1e-3


@dataclass(frozen=True, slots=True)
class Extent:
    """A box and a sphere about the seen splats, without outliers, in their frame."""

    low: NDArray[np.float64]  # [3]
    high: NDArray[np.float64]  # [3]
    radius: float  # about the middle

    @property
    def middle(self) -> NDArray[np.float64]:
        """Halve the way between the corners, [3]."""
        return (self.low + self.high) / 2

    def within_cube(self, side: float) -> bool:
        """Tell whether the box lies in the cube of that side around the origin."""
        return bool((self.low >= -side / 2).all() and (self.high <= side / 2).all())

    def distance(self, fov: float) -> float:
        """Find how far from the middle a camera sees the sphere whole, given degrees."""
        return MARGIN * self.radius / float(np.sin(np.deg2rad(fov / 2)))


def find_extent(gaussians: GaussianArrays) -> Extent:
    """Measure where splats lie; none of them lie in the unit cube around the origin."""
    seen = gaussians.means[gaussians.opacities >= SEEN].astype(np.float64)
    points = seen if len(seen) else gaussians.means.astype(np.float64)
    if not len(points):
        return Extent(np.full(3, -0.5), np.full(3, 0.5), 0.5)
    low, high = np.percentile(points, [OUTLIERS, 100 - OUTLIERS], axis=0)
    reach = np.linalg.norm(points - (low + high) / 2, axis=1)
    radius = float(np.percentile(reach, 100 - OUTLIERS))
    return Extent(low, high, max(radius, LEAST_RADIUS))
