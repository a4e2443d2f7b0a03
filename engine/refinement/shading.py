"""Colours that change with the direction they are seen from, where photographs show such.

A light that moves with the camera, or gloss, gives one place of the surface another colour in each
photograph. Colours of one value then make blotches: each splat is the mean of what disagrees. With
harmonics of degree 1 a splat may be brighter from one side, four numbers a channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.harmonics import SH_C0, dc_of_colors
from geolrm.engine.refinement import alignment as aligning
from geolrm.engine.refinement.alignment import Alignment
from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.refinement.poses import compare, off_line
from geolrm.engine.refinement.refine import Finer, descend
from geolrm.engine.refinement.splat_descent import RATES
from geolrm.engine.refinement.targets import Targets, on_black
from geolrm.engine.views.preprocessing import Views

SHADED_SIZE = 512  # px, of the photographs that the last part compares with
COEFFICIENTS = 4  # a channel: harmonics of degree 1
LIKE = 27.0  # dB: photographs that a scene of plain colours explains less well are shaded
DIRECTIONAL_RATE = 0.5  # of the coefficients of degree 1, in rates of the mean colour
TOGETHER = 3  # views a step
FEWEST_VIEWS = 6  # fewer see hardly any place from two sides, and direction explains anything


@dataclass(frozen=True, slots=True)
class Part:
    """One descent on splats whose colours depend on the direction."""

    steps: int
    size: int  # px, of the images that are compared


PARTS = (Part(30, REFERENCE_SIZE), Part(60, SHADED_SIZE))


def needs_shading(alignment: Alignment) -> bool:
    """Tell whether photographs differ from plain colours by so much that shading pays.

    Photographs whose poses are wrong differ, too, and no direction of colours explains that.
    """
    found = alignment.likeness
    if found is None or found >= LIKE or len(alignment.c2w) < FEWEST_VIEWS:
        return False
    settled = alignment.moved or alignment.explained
    return not off_line(alignment.residual_after if settled else alignment.residual_before)


def shade(
    gaussians: Gaussians,
    plain: Gaussians,
    views: Views,
    finer: Finer | None,
    alignment: Alignment,
    *,
    seed: int,
    threads: int | None,
    gpu: Device | None = None,
) -> tuple[Gaussians, Alignment]:
    """Refine with colours that depend on the direction: coarse images first, fine ones then.

    Before each, every photograph's colours are brought to those of the scene, also where they are
    hardly off: what moves with the light is mostly how bright a photograph is.

    Args:
        gaussians: To start from.
        plain: What the refinement with plain colours made of them.
        views: V photographs, with the poses that ``alignment`` has.
        finer: Gives the same photographs at :data:`SHADED_SIZE`; None: ``views`` do.
        alignment: Of the refinement with plain colours.
        seed: Of backgrounds and of the order of views.
        threads: Of the rasterizer; they never change the result.
        gpu: Where to refine and render; None: the CPU.
    """
    current, scene, colors = directional(gaussians), plain, alignment.colors
    assert current.sh is not None
    rates = directional_rates(current.sh.shape[1])
    for part in PARTS:
        seen = Targets.of(views, aligning.MEASURED_SIZE)
        colors = aligning.color_matrices(on_black(scene, seen, threads, gpu), seen)
        closer = finer if part.size > REFERENCE_SIZE else None
        compared = views if closer is None else closer(part.size)
        targets = Targets.of(compared, part.size)
        scene = current = descend(
            current, targets.recolored(colors).weighted(alignment.weights), steps=part.steps,
            together=TOGETHER, seed=seed, threads=threads, rates=rates, gpu=gpu,
        )  # fmt: skip
    alignment = replace(alignment, colors=colors, corrected=aligning.stained(colors), shaded=True)
    return current, compare(current, views, threads, alignment, gpu)


def directional(gaussians: Gaussians) -> Gaussians:
    """Give plain colours, or harmonics of degree 0, the coefficients of degree 1; all zero."""
    before = gaussians.sh
    if before is None:
        assert gaussians.colors is not None  # one of the two is always there
        before = dc_of_colors(gaussians.colors)[:, None]
    if before.shape[1] >= COEFFICIENTS:
        return gaussians
    sh = np.zeros((len(gaussians), COEFFICIENTS, 3), np.float32)
    sh[:, : before.shape[1]] = before
    return replace(gaussians, colors=None, sh=sh)


def directional_rates(count: int) -> dict[str, float | NDArray[np.float32]]:
    """Return the rates of a descent whose colours are harmonics, in units of plain colours."""
    rate = np.full((1, count, 1), DIRECTIONAL_RATE, np.float32)
    rate[:, 0] = 1
    return {**RATES, "color": rate * np.float32(RATES["color"] / SH_C0)}
