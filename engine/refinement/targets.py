"""What renders are compared with: the photographs, and where and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.cuda_rasterizer import SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import pack
from geolrm.engine.rendering.options import RenderOptions
from geolrm.engine.views.preprocessing import Views


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """V images, and the cameras that they are taken from."""

    premultiplied: NDArray[np.float32]  # [V, S, S, 3]
    alpha: NDArray[np.float32]  # [V, S, S]
    frame: Frame  # V cameras
    valid: NDArray[np.float32] | None = None  # [V, S, S], 0 where nothing is known; None: all is
    weights: NDArray[np.float32] | None = None  # [V, S, S] of the loss; None: 1

    @classmethod
    def of(cls, views: Views, size: int | None = None) -> Targets:
        """Take the reference images of views, averaged to ``size`` px where that divides them."""
        reference = views.reference.transpose(0, 2, 3, 1)
        valid = views.reference_valid
        if size is not None and size < reference.shape[1] and reference.shape[1] % size == 0:
            reference = _averaged(reference, size)
            valid = None if valid is None else _averaged(valid, size)
        side = reference.shape[1]
        return cls(
            np.ascontiguousarray(reference[..., :3]),
            np.ascontiguousarray(reference[..., 3]),
            Frame.of(views, (side, side)),
            valid,
            valid,
        )

    @property
    def size(self) -> int:
        """Width and height in px."""
        return self.alpha.shape[1]

    def __len__(self) -> int:
        return len(self.alpha)

    def __getitem__(self, chosen: list[int]) -> Targets:
        frame = replace(
            self.frame, w2c=self.frame.w2c[chosen], intrinsics=self.frame.intrinsics[chosen]
        )
        maps = (None if m is None else m[chosen] for m in (self.valid, self.weights))
        return Targets(self.premultiplied[chosen], self.alpha[chosen], frame, *maps)

    def seen_from(self, w2c: NDArray[np.float64]) -> Targets:
        """Return the same images, taken by moved cameras."""
        return replace(self, frame=replace(self.frame, w2c=w2c))

    def weighted(self, views: NDArray[np.float64]) -> Targets:
        """Return them with a weight [V] for each view."""
        if (views == 1).all():
            return self
        base = np.ones_like(self.alpha) if self.valid is None else self.valid
        return replace(self, weights=base * views[:, None, None].astype(np.float32))

    def recolored(self, matrices: NDArray[np.float64]) -> Targets:
        """Return them with each view's RGB taken through its matrix [V, 3, 3]."""
        if (matrices == np.eye(3)).all():
            return self
        colors = np.einsum("vij,vhwj->vhwi", matrices.astype(np.float32), self.premultiplied)
        return replace(self, premultiplied=colors.clip(0, 1))


def _averaged(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Average [V, S, S, ...] over squares of pixels to [V, size, size, ...]."""
    step = images.shape[1] // size
    parts = images.reshape(len(images), size, step, size, step, *images.shape[3:])
    return np.ascontiguousarray(parts.mean((2, 4), dtype=np.float32))


def on_black(
    gaussians: Gaussians, targets: Targets, threads: int | None, gpu: Device | None = None
) -> Renders:
    """Render what the targets' cameras see of a scene, at their size, on black."""
    black = RenderOptions(background=[0.0, 0.0, 0.0]).parameters
    frame: Frame = replace(targets.frame, parameters=black)
    if gpu is not None:
        return SplatRasterizer(gpu).render_frame(gaussians, frame).numpy()
    return render_frame(pack(gaussians), frame, threads=threads)
