"""Split splats that cover more detail than they can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.similarity import turned
from geolrm.engine.refinement.targets import Targets, on_black
from geolrm.engine.refinement.visibility import carried

LEAST_SIZE = 0.7  # px, of the finest photographs: the deviation below which none is split
SHARE = 0.5  # of the splats that are split at most
APART = 0.5  # of the deviation along the longest axis, that each half moves
SHRUNK = 0.6  # of it, that each half keeps: two halves then cover what the whole did


def split_detail(
    gaussians: Gaussians,
    targets: Targets,
    most: int,
    threads: int | None = None,
    gpu: Device | None = None,
) -> Gaussians:
    """Return the Gaussians with those in two that answer for most of what is still wrong.

    A splat answers for the error of the pixels that it makes up, by its share in them. Only those
    larger than a pixel are split, each along its longest axis.

    Args:
        gaussians: N of them.
        targets: The finest photographs.
        most: How many there may be afterwards.
        threads: Of the rasterizer; they never change the result.
        gpu: Where to render; None: the CPU.
    """
    drawn = on_black(gaussians, targets, threads, gpu)
    error = np.abs(drawn.rgb - targets.premultiplied).sum(-1) + np.abs(drawn.alpha - targets.alpha)
    if targets.weights is not None:
        error = error * targets.weights
    answers = carried(gaussians, targets.frame, error.astype(np.float32), threads, gpu)
    answers = np.where(pixels_across(gaussians, targets) >= LEAST_SIZE, answers, 0)
    count = min(int(SHARE * len(gaussians)), most - len(gaussians), np.count_nonzero(answers))
    if count <= 0:
        return gaussians
    return halved(gaussians, np.argsort(-answers, kind="stable")[:count])


def pixels_across(gaussians: Gaussians, targets: Targets) -> NDArray[np.float64]:
    """Return the largest deviation of each splat in px, in the view that is nearest to it: [N]."""
    frame = targets.frame
    w2c = np.asarray(frame.w2c, np.float64)
    depth = np.einsum("vj,nj->vn", w2c[:, 2, :3], gaussians.means) + w2c[:, 2, 3:]
    nearest = np.where(depth > 1e-3, depth, np.inf).min(0)
    focal = np.asarray(frame.intrinsics, np.float64)[:, 0, 0].max()
    return gaussians.scales.max(1) * focal / nearest


def halved(gaussians: Gaussians, chosen: NDArray[np.int64]) -> Gaussians:
    """Return the others in their order, then both halves of each of those chosen."""
    others = np.ones(len(gaussians), bool)
    others[chosen] = False
    whole, half = gaussians.select(others), gaussians.select(chosen)
    rows, longest = np.arange(len(half)), half.scales.argmax(1)
    offsets = turned(half.quats, np.eye(3)[longest]) * (APART * half.scales[rows, longest])[:, None]
    shrunk = half.scales.copy()
    shrunk[rows, longest] *= SHRUNK
    halves = [
        replace(half, means=(half.means + sign * offsets).astype(np.float32), scales=shrunk)
        for sign in (1, -1)
    ]
    return joined([whole, *halves])


def joined(parts: Sequence[Gaussians]) -> Gaussians:
    """Join Gaussians with the same kind of colours, one after another."""
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(parts[0])
        if getattr(parts[0], field.name) is not None
    }
    return Gaussians(**arrays)
