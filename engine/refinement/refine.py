"""Refine a reconstruction on its own input images: a few steps of gradient descent.

The network's Gaussians are a start within a few pixels of the truth; the rasterizer's backward pass
moves them the rest of the way. What no input shows keeps what the network said. The rasterizer sums
gradients in a fixed order, so the result is the same for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.camera_descent import CameraDescent
from geolrm.engine.refinement.cuda_splat_descent import CudaSplatDescent
from geolrm.engine.refinement.splat_descent import RATES, HostSplatDescent, SplatDescent
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.views.preprocessing import Views

DEFAULT_STEPS = 30
FEWEST_VIEWS_PER_STEP, MOST_VIEWS_PER_STEP = 2, 3  # a third is worth its time from 12 views on
LAST_RATE = 0.1  # share of the first, reached along a cosine
LEAST_OPACITY = 1 / 255  # below it nothing is rendered


def refine(
    gaussians: Gaussians,
    views: Views,
    *,
    steps: int,
    seed: int = 0,
    threads: int | None = None,
    colors: NDArray[np.float64] | None = None,
    gpu: Device | None = None,
) -> Gaussians:
    """Return Gaussians that explain the input images better, in number at most as many.

    Each step compares a few views, on a background taken at random so that opacity is learned too,
    and moves positions, scales, orientations, opacities and colours by Adam.

    Args:
        gaussians: Of the network.
        views: The images it saw, with alpha; see :attr:`Views.reference`.
        steps: Number of steps; 0 changes nothing.
        seed: Of backgrounds and of the order of views.
        threads: Of the rasterizer; they never change the result.
        colors: [V, 3, 3] that each image's colours go through first; None: none.
        gpu: Where to refine, with the same result up to rounding; None: the CPU.
    """
    if steps == 0 or not len(gaussians):
        return gaussians
    targets = Targets.of(views)
    if colors is not None:
        targets = targets.recolored(colors)
    together = max(len(views) // 4, FEWEST_VIEWS_PER_STEP)
    return descend(
        gaussians, targets, steps=steps, together=min(together, MOST_VIEWS_PER_STEP), seed=seed,
        threads=threads, gpu=gpu,
    )  # fmt: skip


def descend(
    gaussians: Gaussians,
    targets: Targets,
    *,
    steps: int,
    together: int,
    seed: int,
    threads: int | None,
    cameras: CameraDescent | None = None,
    rates: Mapping[str, float | NDArray[np.float32]] = RATES,
    gpu: Device | None = None,
) -> Gaussians:
    """Go down the loss over the targets, ``together`` views a step; cameras go along, if given.

    ``rates`` are those of the first step, by parameter; an array is one rate for each of its parts.
    """
    splats: SplatDescent
    if gpu is None:
        splats = HostSplatDescent(gaussians, targets, rates, threads)
    else:
        splats = CudaSplatDescent(gpu, gaussians, targets, rates)
    generator = np.random.default_rng(seed)
    together = min(together, len(targets))
    waiting: list[int] = []
    for step in range(steps):
        if len(waiting) < together:
            waiting = generator.permutation(len(targets)).tolist()
        chosen, waiting = sorted(waiting[:together]), waiting[together:]
        background = generator.uniform(0, 1, 3).astype(np.float32)
        share = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
        moved = None if cameras is None else cameras.w2c[chosen]
        to_cameras = splats.step(chosen, background, share, moved)
        if cameras is not None and to_cameras is not None:
            cameras.step(chosen, to_cameras, share)
    refined = splats.gaussians()
    return refined.select(refined.opacities >= LEAST_OPACITY)
