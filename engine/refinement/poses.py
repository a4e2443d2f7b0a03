"""Poses refined with the splats, in rounds after which the network sees the better poses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.geometry.motions import common_motion
from geolrm.engine.geometry.similarity import move_poses
from geolrm.engine.refinement import alignment as aligning
from geolrm.engine.refinement.alignment import Alignment
from geolrm.engine.refinement.budget import FINER, REFERENCE_SIZE, Budget
from geolrm.engine.refinement.camera_descent import CameraDescent
from geolrm.engine.refinement.learned import NOTHING_LEARNED, LearnedRefinement
from geolrm.engine.refinement.progress import Progress
from geolrm.engine.refinement.refine import (
    FEWEST_VIEWS_PER_STEP,
    MOST_VIEWS_PER_STEP,
    Finer,
    descend,
    refine_within,
)
from geolrm.engine.refinement.targets import Targets, on_black
from geolrm.engine.views.photographs import CloserLook
from geolrm.engine.views.preprocessing import Views


@dataclass(frozen=True, slots=True)
class Round:
    """One descent on splats and poses together, after the network was run."""

    steps: int
    size: int  # px, of the images that are compared
    most: int  # views a step
    rate: float  # scene units of the first step
    turn: float  # radians a unit
    share: float = 0.25  # of the views, a step: few are not compared more often than many

    def together(self, views: int) -> int:
        """Return how many of so many views a step compares."""
        return min(max(int(views * self.share), FEWEST_VIEWS_PER_STEP), self.most)


ROUNDS = (
    # Far off: small images see farther.
    Round(steps=30, size=128, most=6, rate=0.008, turn=1.0, share=0.5),
    Round(steps=24, size=128, most=4, rate=0.004, turn=2.0, share=0.34),
    Round(steps=40, size=REFERENCE_SIZE, most=MOST_VIEWS_PER_STEP, rate=0.0015, turn=2.5),
)

SECOND_LOOK = Round(steps=40, size=aligning.MEASURED_SIZE, most=4, rate=0, turn=0, share=0.34)

LAST_RATE, LAST_TURN = 0.001, 2.5  # of the cameras that go along in the refinement of the colours


def compare(
    gaussians: Gaussians,
    views: Views,
    threads: int | None,
    before: Alignment | None = None,
    gpu: Device | None = None,
    unclosed: Gaussians | None = None,
) -> Alignment:
    """Lay the photographs over renders of the scene; ``before`` is what was measured first.

    A closing step gives each place the mean of its colours in all photographs, so that the median
    one looks explained, also where a light moves: ``unclosed`` are the Gaussians before it.
    """
    targets = Targets.of(views, aligning.MEASURED_SIZE)
    rendered = on_black(gaussians, targets, threads, gpu)
    if before is None:
        return aligning.started(np.asarray(views.c2w, np.float64), rendered, targets)
    light = rendered if unclosed is None else on_black(unclosed, targets, threads, gpu)
    return aligning.finished(before, rendered, targets, light)


def poses_look_wrong(alignment: Alignment) -> bool:
    """Tell whether the views are so far off, as root mean square, that refining their poses pays.

    Not their median: of few views wrong by little, half may lie well by chance.
    """
    return off_line(alignment.residual_before)


def splats_explain(
    gaussians: Gaussians,
    views: Views,
    alignment: Alignment,
    *,
    seed: int,
    threads: int | None,
    gpu: Device | None = None,
) -> bool:
    """Tell whether splats that move, under cameras that stay, agree with the photographs.

    Then not the poses were wrong but the network, as where it lays the print of a flat box aside.
    Splats cannot move so that they fit photographs which contradict each other. Few views hardly
    do, so that nothing is said of fewer than 6, and the network is never more than 1.5 px aside.
    """
    beside = root_mean_square(alignment.residual_before) <= aligning.FARTHEST_EXPLAINED
    if len(views) < aligning.FEWEST_EXPLAINED or not beside:
        return False
    targets = Targets.of(views, SECOND_LOOK.size)
    moved = descend(
        gaussians, targets, steps=SECOND_LOOK.steps, together=SECOND_LOOK.together(len(views)),
        seed=seed, threads=threads, gpu=gpu,
    )  # fmt: skip
    rendered = on_black(moved, targets, threads, gpu)
    residuals = aligning.misalignment(rendered, targets) * 256 / targets.size
    return root_mean_square(residuals) < aligning.EXPLAINED


def off_line(residuals: NDArray[np.float64]) -> bool:
    """Tell of the views' residuals [V], in px of 256, whether they are those of wrong poses."""
    return root_mean_square(residuals) > aligning.MOVED


def root_mean_square(residuals: NDArray[np.float64]) -> float:
    """Return that of the views' residuals [V]."""
    return float(np.sqrt(np.mean(residuals**2)))


def refine_colors(
    gaussians: Gaussians,
    views: Views,
    alignment: Alignment,
    budget: Budget,
    *,
    finer: Finer | None,
    seed: int,
    threads: int | None,
    learned: LearnedRefinement = NOTHING_LEARNED,
    given: NDArray | None = None,
    gpu: Device | None = None,
) -> tuple[Gaussians, Alignment, Progress]:
    """Refine at the poses of the alignment; correct views whose colours then are not the others'.

    The descent is done again with those views' colours taken through their matrices, where they
    were not before. Where none is and poses stay, the Gaussians are those of
    :func:`geolrm.engine.refinement.refine.refine_within`, bit for bit.

    With ``given``, the poses [V, 4, 4] that the run started from, cameras that were moved go along:
    only now do splats have the detail that tells of a tenth of a pixel.
    """

    def refined(alignment: Alignment) -> tuple[Gaussians, Alignment, Progress]:
        before: list[Gaussians] = []
        cameras = None
        if given is not None and alignment.moved and len(gaussians):
            cameras = _cameras(alignment, gaussians, LAST_RATE, LAST_TURN)
        made, progress = refine_within(
            gaussians, moved_views(views, alignment.c2w), budget, finer=finer, seed=seed,
            threads=threads, colors=alignment.colors, weights=alignment.weights, learned=learned,
            unclosed=before.append, cameras=cameras, gpu=gpu,
        )  # fmt: skip
        if given is not None and cameras is not None:
            alignment, back = _settled(alignment, cameras, given)
            made, *before = (each.transformed(back) for each in (made, *before))
        unclosed = before[0] if before else None
        seen = moved_views(views, alignment.c2w)
        return made, compare(made, seen, threads, alignment, gpu, unclosed), progress

    first = refined(alignment)
    found = first[1]
    return first if alignment.corrected or not found.corrected else refined(found)


def refine_poses(
    gaussians: Gaussians,
    views: Views,
    alignment: Alignment,
    part: Round,
    *,
    given: NDArray,
    seed: int,
    threads: int | None,
    gpu: Device | None = None,
) -> tuple[Gaussians, Alignment]:
    """Run one round: move Gaussians and cameras until renders and photographs agree.

    What all cameras moved alike is taken out of both, so that the scene stays where it was.

    Args:
        gaussians: Of the network, for the poses of ``views``.
        views: V photographs with the poses so far.
        alignment: Of the rounds so far.
        part: The round.
        given: [V, 4, 4] OpenGL poses that the run started from.
        seed: Of backgrounds and of the order of views.
        threads: Of the rasterizer; they never change the result.
        gpu: Where to refine and render; None: the CPU.
    """
    targets = Targets.of(views, part.size).recolored(alignment.colors)
    cameras = _cameras(alignment, gaussians, part.rate, part.turn)
    weighted = targets.weighted(alignment.weights)
    refined = descend(
        gaussians, weighted, steps=part.steps, together=part.together(len(views)), seed=seed,
        threads=threads, cameras=cameras, gpu=gpu,
    )  # fmt: skip
    rendered = on_black(refined, targets.seen_from(cameras.w2c), threads, gpu)
    alignment, back = _settled(alignment, cameras, given)
    alignment = replace(alignment, weights=aligning.view_weights(rendered, targets))
    refined = refined.transformed(back)
    return refined, compare(refined, moved_views(views, alignment.c2w), threads, alignment, gpu)


def _cameras(alignment: Alignment, gaussians: Gaussians, rate: float, turn: float) -> CameraDescent:
    """Put cameras at the poses so far, to turn about the middle of the splats."""
    centre = gaussians.means.astype(np.float64).mean(0)
    return CameraDescent(_inverse(alignment.c2w @ FLIP_YZ), centre, rate, turn)


def _settled(
    alignment: Alignment, cameras: CameraDescent, given: NDArray
) -> tuple[Alignment, NDArray[np.float64]]:
    """Take the poses of cameras that moved, but for what all of them did: [4, 4], to undo it."""
    c2w = _inverse(cameras.w2c) @ FLIP_YZ
    back = common_motion(given.astype(np.float64), c2w, cameras.centre)
    return replace(alignment, c2w=move_poses(c2w, back), moved=True), back


def moved_views(views: Views, c2w: NDArray[np.float64]) -> Views:
    """Return the same photographs with other poses [V, 4, 4]."""
    projection = views.intrinsics.astype(np.float64) @ np.linalg.inv(c2w)[:, :3]
    return replace(
        views,
        c2w=np.ascontiguousarray(c2w, np.float32),
        projection=np.ascontiguousarray(projection, np.float32),
    )


def _inverse(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.inv(matrices).astype(np.float64)


def finer_views(photographs: CloserLook | None, views: Views) -> Finer | None:
    """Return what makes finer references of views, with their poses; None where none are finer."""
    if photographs is None or photographs.size < FINER * REFERENCE_SIZE:
        return None
    c2w = views.c2w.astype(np.float64)
    return lambda size: moved_views(photographs.at(min(size, photographs.size)), c2w)
