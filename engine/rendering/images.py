"""Rendered images in NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geolrm.engine.errors import InputError


@dataclass(frozen=True, slots=True)
class Renders:
    """Images of V cameras; depth is the sum of alpha T z, not normalised by alpha."""

    rgb: np.ndarray  # [V, H, W, 3] float32
    alpha: np.ndarray  # [V, H, W] float32
    depth: np.ndarray  # [V, H, W] float32

    @classmethod
    def empty(cls, views: int, size: tuple[int, int]) -> Renders:
        """Allocate uninitialised images, to be reused over calls as `out`."""
        width, height = size
        shape = (views, height, width)
        return cls(
            np.empty((*shape, 3), np.float32),
            np.empty(shape, np.float32),
            np.empty(shape, np.float32),
        )

    def numpy(self) -> Renders:
        """Return itself: images that a GPU keeps are copied by this."""
        return self

    def __repr__(self) -> str:
        views, height, width = self.alpha.shape
        return f"Renders({views} views, {width}x{height})"


def check_out(out: Renders) -> None:
    """Refuse what images cannot be written into."""
    arrays = [getattr(out, name, None) for name in ("rgb", "alpha", "depth")]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise InputError(
            f"out is a {type(out).__name__}; it must be Renders, such as Renders.empty(views, size)"
        )
    for i in range(3):
        if np.may_share_memory(arrays[i], arrays[i - 1]):
            raise InputError(
                "out has images that share memory; rgb, alpha and depth must be arrays of their own"
            )
