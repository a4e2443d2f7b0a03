"""Which way is up: the object frame is z up, many files are y up."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import harmonics
from geolrm.engine.gaussians import Gaussians

Up = Literal["y", "z"]

# (x, y, z) of the object frame is (x, z, -y) where y is up: x stays right, -y (front) turns to +z.
Z_UP_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_HALF = np.sqrt(0.5)
_QUAT_TO_Y_UP = np.array([_HALF, -_HALF, 0, 0])


def check_up(up: str, name: str = "up") -> Up:
    """``"y"`` or ``"z"``; ``name`` is what an error calls the choice."""
    if up not in get_args(Up):
        raise InputError(f"{name} is {up!r}; it must be 'y' or 'z'")
    return up  # pyright: ignore[reportReturnType]


def from_object_frame(gaussians: Gaussians, up: Up) -> Gaussians:
    """What a file holds whose ``up`` axis is up."""
    return gaussians if up == "z" else _turned(gaussians, Z_UP_TO_Y_UP, _QUAT_TO_Y_UP)


def to_object_frame(gaussians: Gaussians, up: Up) -> Gaussians:
    """The inverse of :func:`from_object_frame`."""
    conjugate = _QUAT_TO_Y_UP * (1, -1, -1, -1)
    return gaussians if up == "z" else _turned(gaussians, Z_UP_TO_Y_UP.T, conjugate)


def _turned(
    gaussians: Gaussians, rotation: NDArray[np.float64], quat: NDArray[np.float64]
) -> Gaussians:
    return Gaussians(
        means=gaussians.means @ rotation.T.astype(np.float32),
        opacities=gaussians.opacities,
        scales=gaussians.scales,
        quats=_product(quat.astype(np.float32), gaussians.quats),
        colors=gaussians.colors,
        sh=None if gaussians.sh is None else harmonics.turn(gaussians.sh, rotation),
    )


def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hamilton product of a wxyz quaternion [4] with each of [N, 4]."""
    w, x, y, z = left
    matrix = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    return right @ matrix.T
