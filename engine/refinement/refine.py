"""Refine a reconstruction on its own input images: a few steps of gradient descent.

The network's Gaussians are a start within a few pixels of the truth; the rasterizer's backward pass
moves them the rest of the way. What no input shows keeps what the network said. The rasterizer sums
gradients in a fixed order, so the result is the same for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.camera_descent import CameraDescent
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.rendering.cpu import backward, render_frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import pack
from geolrm.engine.rendering.options import RenderOptions
from geolrm.engine.views.preprocessing import Views

Parameters = dict[str, NDArray[np.float32]]  # what is optimised, by name

REFERENCE_SIZE = 256  # px, of the images that are compared
DEFAULT_STEPS = 30
FEWEST_VIEWS_PER_STEP, MOST_VIEWS_PER_STEP = 2, 3  # a third is worth its time from 12 views on
# Of each parameter at the first step: object units, logits, logarithms, colours.
RATES: dict[str, float | NDArray[np.float32]] = {
    "means": 2e-3,
    "logits": 0.15,
    "log_scales": 0.05,
    "quats": 0.02,
    "color": 0.02,
}
LAST_RATE = 0.1  # share of the first, reached along a cosine
MOMENTS = (0.8, 0.95)  # decay of Adam's mean and of its square
FLOOR = 1e-3  # added to Adam's denominator: a Gaussian of hardly a pixel hardly moves
HUBER = 0.02  # errors of a colour above it count linearly
SQUARE_SHARE = 0.5  # gradient of the squared error beside it
ALPHA_SHARE = 1.0  # gradient of the squared error of alpha
LEAST_OPACITY = 1 / 255  # below it nothing is rendered
SMALLEST_SCALE = 1e-6


def refine(
    gaussians: Gaussians,
    views: Views,
    *,
    steps: int,
    seed: int = 0,
    threads: int | None = None,
    colors: NDArray[np.float64] | None = None,
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
    """
    if steps == 0 or not len(gaussians):
        return gaussians
    targets = Targets.of(views)
    if colors is not None:
        targets = targets.recolored(colors)
    together = max(len(views) // 4, FEWEST_VIEWS_PER_STEP)
    return descend(
        gaussians, targets, steps=steps, together=min(together, MOST_VIEWS_PER_STEP), seed=seed,
        threads=threads,
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
) -> Gaussians:
    """Go down the loss over the targets, ``together`` views a step; cameras go along, if given.

    ``rates`` are those of the first step, by parameter; an array is one rate for each of its parts.
    """
    current = _to_parameters(gaussians)
    mean = {name: np.zeros_like(array) for name, array in current.items()}
    square = {name: np.zeros_like(array) for name, array in current.items()}
    generator = np.random.default_rng(seed)
    together = min(together, len(targets))
    waiting: list[int] = []
    for step in range(steps):
        if len(waiting) < together:
            waiting = generator.permutation(len(targets)).tolist()
        chosen, waiting = sorted(waiting[:together]), waiting[together:]
        background = generator.uniform(0, 1, 3).astype(np.float32)
        compared = targets[chosen]
        if cameras is not None:
            compared = compared.seen_from(cameras.w2c[chosen])
        moves = cameras is not None
        gradients, to_cameras = _gradients(current, compared, background, gaussians, moves, threads)
        share = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for name, gradient in gradients.items():
            _step_adam(current[name], mean[name], square[name], gradient, share * rates[name], step)
        if cameras is not None and to_cameras is not None:
            cameras.step(chosen, to_cameras, share)
    refined = _to_gaussians(current, gaussians)
    return refined.select(refined.opacities >= LEAST_OPACITY)


def _gradients(
    current: Parameters,
    targets: Targets,
    background: NDArray[np.float32],
    origin: Gaussians,
    cameras: bool,
    threads: int | None,
) -> tuple[Parameters, NDArray[np.float64] | None]:
    """Differentiate the loss over the targets' views to each parameter, and to cameras if asked."""
    candidate = _to_gaussians(current, origin)
    model = pack(candidate)
    parameters = RenderOptions(background=background.tolist()).parameters
    frame = replace(targets.frame, parameters=parameters)
    rendered = render_frame(model, frame, threads=threads)
    alpha = targets.alpha
    error = rendered.rgb - targets.premultiplied - (1 - alpha[..., None]) * background
    to_rgb = (0.1 * np.clip(error / HUBER, -1, 1) + SQUARE_SHARE * error).astype(np.float32)
    to_alpha = ALPHA_SHARE * (rendered.alpha - alpha)
    if targets.weights is not None:
        to_rgb, to_alpha = to_rgb * targets.weights[..., None], to_alpha * targets.weights
    if cameras and targets.size < REFERENCE_SIZE:  # a pixel stands for several: Adam has a floor
        area = np.float32((REFERENCE_SIZE / targets.size) ** 2)
        to_rgb, to_alpha = to_rgb * area, to_alpha * area
    to_images = Renders(to_rgb, to_alpha, np.zeros_like(alpha))
    coefficients = 0 if candidate.sh is None else candidate.sh.shape[1]
    to = backward(
        model, frame, to_images, coefficients=coefficients, cameras=cameras, threads=threads
    )
    gradients = {
        "means": to.means,
        "logits": to.opacities * candidate.opacities * (1 - candidate.opacities),
        "log_scales": to.scales * candidate.scales,
        "quats": to.quats,
        "color": to.color,
    }
    return gradients, to.cameras


def _step_adam(
    values: NDArray[np.float32],
    mean: NDArray[np.float32],
    square: NDArray[np.float32],
    gradient: NDArray[np.float32],
    rate: float | NDArray[np.float32],
    step: int,
) -> None:
    """Take one step of Adam with bias correction, in place."""
    first, second = MOMENTS
    mean += (1 - first) * (gradient - mean)
    square += (1 - second) * (gradient * gradient - square)
    scale = np.sqrt(square / np.float32(1 - second ** (step + 1)))
    values -= (
        np.asarray(rate / (1 - first ** (step + 1)), np.float32)
        * mean
        / (scale + np.float32(FLOOR))
    )


def _to_parameters(gaussians: Gaussians) -> Parameters:
    opacities = gaussians.opacities.clip(1e-4, 1 - 1e-4)
    color = gaussians.colors if gaussians.sh is None else gaussians.sh
    assert color is not None  # one of the two is always there
    return {
        "means": gaussians.means.copy(),
        "logits": np.log(opacities / (1 - opacities)),
        "log_scales": np.log(np.maximum(gaussians.scales, SMALLEST_SCALE)),
        "quats": gaussians.quats.copy(),
        "color": color.copy(),
    }


def _to_gaussians(current: Parameters, origin: Gaussians) -> Gaussians:
    """Activate the parameters; colours or spherical harmonics as the origin has them."""
    quats = current["quats"]
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    color = current["color"]
    return replace(
        origin,
        means=current["means"],
        opacities=1 / (1 + np.exp(-current["logits"])),
        scales=np.exp(current["log_scales"]),
        quats=quats / np.maximum(norms, 1e-12),
        **({"colors": color.clip(0, 1)} if origin.sh is None else {"sh": color}),
    )
