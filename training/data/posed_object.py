"""The record that every source of training data yields."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras


@dataclass(frozen=True, slots=True, eq=False)
class PosedObject:
    """V square views of one object in the cube [-0.5, 0.5]^3 (z up), and points of its surface.

    Raises:
        InputError: Names the field whose shape or type does not fit the others.
    """

    rgba: NDArray[np.uint8]  # [V, S, S, 4], sRGB, straight alpha
    depth: NDArray[np.float32]  # [V, S, S], z-depth at the pixel centre, cube sides; 0: none
    cameras: Cameras  # V
    points: NDArray[np.float32]  # [P, 3], object frame

    def __post_init__(self) -> None:
        views, size = len(self.cameras), self.size
        wanted = {
            "rgba": (self.rgba, (views, size, size, 4), np.uint8),
            "depth": (self.depth, (views, size, size), np.float32),
            "points": (self.points, (len(self.points), 3), np.float32),
        }
        for name, (array, shape, dtype) in wanted.items():
            if array.shape != shape or array.dtype != dtype:
                raise InputError(
                    f"{name} is {array.dtype} {list(array.shape)}; it must be "
                    f"{np.dtype(dtype)} {list(shape)} for {views} cameras"
                )

    def __len__(self) -> int:
        return len(self.rgba)

    def __repr__(self) -> str:
        return f"PosedObject({len(self)} views, {self.size} px, {len(self.points)} points)"

    @property
    def size(self) -> int:
        """Width and height of the views in pixels."""
        return self.rgba.shape[2] if self.rgba.ndim == 4 else 0
