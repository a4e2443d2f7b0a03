"""The cameras of a call as kernels take them: OpenCV axes, pixels, and the options beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.rendering.options import RenderOptions

LARGEST_SIDE = 16384  # px


class Posed(Protocol):
    """What is read of cameras: OpenGL poses, intrinsics divided by the image size."""

    @property
    def c2w(self) -> np.ndarray:
        """[V, 4, 4]."""
        ...

    @property
    def intrinsics(self) -> np.ndarray:
        """[V, 3, 3]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The images of V cameras, before they are rendered: what render and backward both need."""

    w2c: NDArray[np.float64]  # [V, 4, 4], OpenCV axes
    intrinsics: NDArray[np.float64]  # [V, 3, 3], px
    size: tuple[int, int]  # width, height in px
    parameters: _C.RasterParameters = field(default_factory=_C.RasterParameters)

    def __post_init__(self) -> None:
        object.__setattr__(self, "w2c", np.asarray(self.w2c, np.float64))
        object.__setattr__(self, "intrinsics", np.asarray(self.intrinsics, np.float64))
        object.__setattr__(self, "size", check_size(self.size))

    def __len__(self) -> int:
        return len(self.w2c)

    @classmethod
    def of(
        cls, cameras: Posed, size: tuple[int, int], options: RenderOptions | None = None
    ) -> Frame:
        """Take the project's own cameras.

        Args:
            cameras: V OpenGL poses and normalised intrinsics.
            size: Width and height in px.
            options: None takes the defaults.

        Raises:
            InputError: The size is none, or an array has another shape or no inverse.
        """
        w2c, intrinsics = to_opencv(cameras.c2w, cameras.intrinsics, size)
        return cls(w2c, intrinsics, size, (options or RenderOptions()).parameters)


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height as integers, or raise an InputError."""
    try:
        width, height = (int(side) for side in size)
        whole = (width, height) == tuple(size)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise InputError(f"size is {size!r}; it must be two whole numbers: (width, height) in px")
    for side in (width, height):
        if not 1 <= side <= LARGEST_SIDE:
            raise InputError(
                f"image side is {side}; it must lie in [1, {LARGEST_SIDE}] px. Render larger "
                "images in parts"
            )
    return width, height


def to_opencv(
    c2w: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn OpenGL poses and normalised intrinsics into OpenCV world-to-camera and pixels.

    Args:
        c2w: [V, 4, 4] camera to world.
        intrinsics: [V, 3, 3], divided by the image size.
        size: Width and height in px.
    """
    width, height = check_size(size)
    c2w = np.asarray(c2w, np.float64)
    intrinsics = np.asarray(intrinsics, np.float64)
    if c2w.ndim != 3 or c2w.shape[1:] != (4, 4):
        raise InputError(f"cameras.c2w has shape {list(c2w.shape)}; it must be [V, 4, 4]")
    if intrinsics.shape != (len(c2w), 3, 3):
        raise InputError(
            f"cameras.intrinsics has shape {list(intrinsics.shape)}; it must be"
            f" [{len(c2w)}, 3, 3], one for each pose"
        )
    try:
        # Not the transpose: float32 poses are rotations to 1e-7 only, which would move splats.
        w2c = np.linalg.inv(c2w @ FLIP_YZ)
    except np.linalg.LinAlgError:
        raise InputError(
            "cameras.c2w holds a matrix without an inverse; pass rigid camera-to-world matrices"
        ) from None
    return w2c, intrinsics * np.array([width, height, 1.0])[:, None]
