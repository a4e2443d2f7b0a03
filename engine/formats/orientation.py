"""Which way is up: the object frame is z up, many files are y up."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats.untrusted import PART
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry.similarity import make_similarity

Up = Literal["y", "z"]

# (x, y, z) of the object frame is (x, z, -y) where y is up: x stays right, -y (front) turns to +z.
Z_UP_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
TO_Y_UP = make_similarity(1.0, Z_UP_TO_Y_UP, np.zeros(3))


def check_up(up: str, name: str = "up") -> Up:
    """Return ``"y"`` or ``"z"``; ``name`` is what an error calls the choice."""
    if up not in get_args(Up):
        raise InputError(f"{name} is {up!r}; it must be 'y' or 'z'")
    return up  # pyright: ignore[reportReturnType]


def from_object_frame(gaussians: GaussianArrays, up: Up) -> GaussianArrays:
    """Turn Gaussians to what a file holds whose ``up`` axis is up."""
    return gaussians if up == "z" else gaussians.transformed(TO_Y_UP)


def to_object_frame(gaussians: GaussianArrays, up: Up) -> GaussianArrays:
    """Undo :func:`from_object_frame`, in the arrays that are given."""
    return gaussians if up == "z" else move_in_place(gaussians, TO_Y_UP.T)


def move_in_place(gaussians: GaussianArrays, matrix: NDArray[np.float64]) -> GaussianArrays:
    """Move what was just read by a similarity [4, 4], part by part, without a copy of it all."""
    for start in range(0, len(gaussians), PART):
        part = slice(start, start + PART)
        moved = gaussians.select(part).transformed(matrix)
        for name in ("means", "scales", "quats", "sh"):
            if (array := getattr(gaussians, name)) is not None:
                array[part] = getattr(moved, name)
    return gaussians
