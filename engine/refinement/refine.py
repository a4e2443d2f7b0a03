"""Refine a reconstruction on its own input images: gradient descent within a budget.

The network's Gaussians are a start within a few pixels of the truth; the rasterizer's backward pass
moves them the rest of the way. What no input shows keeps what the network said. The rasterizer sums
gradients in a fixed order, so the result is the same for any number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.budget import MANY_VIEWS, REFERENCE_SIZE, Budget
from geolrm.engine.refinement.camera_descent import CameraDescent
from geolrm.engine.refinement.cuda_splat_descent import CudaSplatDescent
from geolrm.engine.refinement.draws import Draws
from geolrm.engine.refinement.learned import NOTHING_LEARNED, LearnedRefinement, rows_of
from geolrm.engine.refinement.pace import affordable_steps
from geolrm.engine.refinement.progress import HeldBackView, Progress
from geolrm.engine.refinement.splat_descent import (
    RATES,
    HostSplatDescent,
    SplatDescent,
    rates_of,
)
from geolrm.engine.refinement.splitting import split_detail
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.refinement.visibility import shown_pixels, shows
from geolrm.engine.views.preprocessing import Views

FEWEST_VIEWS_PER_STEP, MOST_VIEWS_PER_STEP = 2, 3  # a third is worth its time from 12 views on
LAST_RATE = 0.1  # share of the first, reached along a cosine
LEAST_OPACITY = 1 / 255  # below it nothing is rendered

Finer = Callable[[int], Views]  # the same photographs, and poses, with a reference of so many px
Rates = Mapping[str, float | NDArray[np.float32]]


def refine(
    gaussians: Gaussians,
    views: Views,
    *,
    steps: int,
    seed: int = 0,
    threads: int | None = None,
    gpu: Device | None = None,
) -> Gaussians:
    """Return Gaussians after just so many steps on the images as they are; see `refine_within`."""
    budget = Budget.exactly(steps)
    return refine_within(gaussians, views, budget, seed=seed, threads=threads, gpu=gpu)[0]


def refine_within(
    gaussians: Gaussians,
    views: Views,
    budget: Budget,
    *,
    finer: Finer | None = None,
    seed: int = 0,
    threads: int | None = None,
    colors: NDArray[np.float64] | None = None,
    weights: NDArray[np.float64] | None = None,
    learned: LearnedRefinement = NOTHING_LEARNED,
    unclosed: Callable[[Gaussians], None] | None = None,
    cameras: CameraDescent | None = None,
    gpu: Device | None = None,
) -> tuple[Gaussians, Progress]:
    """Return Gaussians that explain the input images better, and how far that got.

    Each step compares a few views, on a background taken at random so that opacity is learned too,
    and moves positions, scales, orientations, opacities and colours by Adam.

    ::

        views at 256 px    learned steps, where the bundle has an update network
        views at 256 px    full rate, all but the view held back, unless it gets worse
          | drop           what is hidden inside by now
          | split          where a splat covers more detail than it can hold
        views at size px   falling rate, all views
        views at 256 px    a learned step over all, at most 64, where the bundle closes with one

    Args:
        gaussians: Of the network.
        views: The images it saw, with alpha; see :attr:`Views.reference`.
        budget: What may be done at most.
        finer: Gives the photographs at ``budget.size``, if they have it; None: ``views`` do.
        seed: Of backgrounds and of the order of views.
        threads: Of the rasterizer; they never change the result.
        colors: [V, 3, 3] that each image's colours go through first; None: none.
        weights: [V] of the images; None: 1.
        learned: Networks of the bundle, which move splats with plain colours before and after.
        unclosed: Is given the Gaussians as they are before the closing step, if one is taken.
        cameras: Go along in the descent, from the poses of ``views`` on; None: they stay.
        gpu: Where to refine, with the same result up to rounding; None: the CPU.
    """
    if not budget.steps or not len(gaussians):
        return gaussians, Progress(0, budget.steps, REFERENCE_SIZE)

    def targets_of(seen: Views) -> Targets:
        targets = Targets.of(seen)
        targets = targets if colors is None else targets.recolored(colors)
        return targets if weights is None else targets.weighted(weights)

    def begin(origin: Gaussians, targets: Targets) -> SplatDescent:
        return start(origin, targets, rates_of(budget), threads, gpu)

    coarse = targets_of(views)
    closer = finer if budget.size > coarse.size else None
    budget = budget if closer is None else budget.looking_closer()
    fine = coarse if closer is None else targets_of(closer(budget.size))
    together = views_per_step(len(views))
    everyone = list(range(len(views)))
    held = None
    # Where cameras go along, that of a view held back would stay where it was.
    if budget.holds_back and len(views) >= MANY_VIEWS and cameras is None:
        held = HeldBackView(coarse, threads, gpu)
    draws = Draws(seed, [view for view in everyone if held is None or view != held.view])

    def shown(candidate: Gaussians) -> NDArray[np.float32]:
        return shown_pixels(candidate, coarse.frame, threads, gpu)

    plain = gaussians.sh is None
    splats, taken, opened, closed = begin(gaussians, coarse), 0, 0, 0
    if learned.update is not None and plain and budget.learned:
        started = time.perf_counter()
        opened = learned.update.take(splats, draws, shown(gaussians), most=budget.learned)
        gaussians = splats.gaussians()
        budget = budget.after(time.perf_counter() - started)
    if budget.seconds is not None:
        moving = cameras is not None
        budget = affordable_steps(budget, gaussians, (coarse, fine), together, begin, moving)
    closing = learned.closing if plain and budget.closes else None
    before = None if closing is None else rows_of(splats.parameters())
    while taken < budget.steps - budget.annealed:
        step_together(splats, draws, together, 1.0, cameras)
        taken += 1
        if (
            held is not None
            and held.is_due(taken)
            and not held.is_no_worse(splats.gaussians(), taken)
        ):
            break
    draws.draw_from(everyone)
    current, closer_look = splats.gaussians(), fine is not coarse
    kept = shows(current, threads, gpu) if opened or taken else np.ones(len(current), bool)
    if not kept.all():
        current = current.select(kept)
        before = None if before is None else np.ascontiguousarray(before[:, kept])
    if closer_look and cameras is not None:
        fine = fine.seen_from(cameras.w2c)
    if closer_look and budget.splats:
        current = split_detail(current, fine, budget.splats, threads, gpu)
    if closer_look or not kept.all():
        splats = begin(current, fine)  # Adam's averages, too
    if closer_look and closing is not None:
        before = rows_of(splats.parameters())
    for share in falling_shares(budget.annealed):
        step_together(splats, draws, together, share, cameras)
    if closing is not None:
        current = splats.gaussians()
        if unclosed is not None:
            unclosed(current)
        if cameras is not None:
            coarse = coarse.seen_from(cameras.w2c)
        if closer_look or cameras is not None:
            splats = begin(current, coarse)
        shares = shown(current)
        closed = closing.take(splats, draws, shares, most=closing.steps, start=before)
    refined = visible(splats.gaussians())
    progress = Progress.of(taken + budget.annealed, budget.steps, fine.size, held)
    return refined, replace(progress, learned=opened, closing=closed)


def descend(
    gaussians: Gaussians,
    targets: Targets,
    *,
    steps: int,
    together: int,
    seed: int,
    threads: int | None,
    cameras: CameraDescent | None = None,
    rates: Rates = RATES,
    gpu: Device | None = None,
) -> Gaussians:
    """Go down the loss over the targets, ``together`` views a step; cameras go along, if given.

    ``rates`` are those of the first step, by parameter; an array is one rate for each of its parts.
    """
    splats = start(gaussians, targets, rates, threads, gpu)
    draws = Draws(seed, list(range(len(targets))))
    for share in falling_shares(steps):
        step_together(splats, draws, together, share, cameras)
    return visible(splats.gaussians())


def step_together(
    splats: SplatDescent, draws: Draws, together: int, share: float, cameras: CameraDescent | None
) -> None:
    """Take one step over so many views, at a share of the first rate; cameras go along."""
    chosen, background = draws.views(together), draws.background()
    moved = None if cameras is None else cameras.w2c[chosen]
    to_cameras = splats.step(chosen, background, share, moved)
    if cameras is not None and to_cameras is not None:
        cameras.step(chosen, to_cameras, share)


def start(
    gaussians: Gaussians,
    targets: Targets,
    rates: Rates,
    threads: int | None,
    gpu: Device | None,
) -> SplatDescent:
    """Put splats at the start of a descent, on the GPU or the CPU."""
    if gpu is None:
        return HostSplatDescent(gaussians, targets, rates, threads)
    return CudaSplatDescent(gpu, gaussians, targets, rates)


def views_per_step(views: int) -> int:
    """Return how many of so many views a step of descent compares."""
    return min(max(views // 4, FEWEST_VIEWS_PER_STEP), MOST_VIEWS_PER_STEP)


def falling_shares(steps: int) -> list[float]:
    """Return the shares of the first rate at each of the last steps."""
    return [falling(step, steps) for step in range(steps)]


def falling(step: int, steps: int) -> float:
    """Return the share of the first rate, along a cosine, at one of so many steps."""
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))


def visible(gaussians: Gaussians) -> Gaussians:
    """Leave out what is too clear to be rendered."""
    return gaussians.select(gaussians.opacities >= LEAST_OPACITY)
